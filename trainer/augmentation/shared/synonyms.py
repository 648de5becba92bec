"""Synonyms of words: the embedded table of WordNet 3.0, or a file of one's own.

G. A. Miller (1995), "WordNet: a lexical database for English",
https://doi.org/10.1145/219717.219748; licence in trainer/dataset/definitions.LICENSE. The table has
the words of the embedded definitions; `scripts/make_definitions.py` makes it. Stop words, such as
`the`, have no synonyms.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.table import read_text
from trainer.dataset.shared.words import FIRST, numbered, words_of

WORDNET = "wordnet"
FILE = Path(__file__).parents[1] / "synonyms.txt.gz"

Synonyms = Mapping[str, Sequence[str]]
Array = Any  # np.ndarray or Tensor


@cache
def of_wordnet() -> Synonyms:
    """The embedded table."""
    lines = gzip.decompress(FILE.read_bytes()).decode().splitlines()
    return {word: others for word, *others in map(str.split, lines)}


def synonyms_of(name: str, setting: str) -> Synonyms:
    """The synonyms of each word, of WordNet or in the file `name`.

    A line of a file has a word and its synonyms, each a single word, with spaces, tabs or commas
    between them. Raises DataError, by line, for another.
    """
    if name == WORDNET:
        return of_wordnet()
    found: dict[str, list[str]] = {}
    for number, line in enumerate(read_text(Path(name), setting).splitlines(), 1):
        cells = [cell for cell in re.split(r"[\s,;]+", line) if cell]
        words = [words_of(cell) for cell in cells]
        wrong = [cell for cell, split in zip(cells, words, strict=True) if len(split) != 1]
        if wrong or len(cells) == 1:
            why = f"{printable(wrong[0])} is not a word" if wrong else "a word without a synonym"
            raise DataError(
                f"{printable(name)}, line {number}: {why}; give a word and its synonyms"
            )
        if words:
            first, *others = (split[0] for split in words)
            known = found.setdefault(first, [])
            known += [word for word in dict.fromkeys(others) if word not in (first, *known)]
    if not any(found.values()):
        raise DataError(f"{setting}={printable(name)} has no synonyms")
    return found


def further_words(synonyms: Synonyms, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The synonyms of a vocabulary's words that it lacks, in alphabetical order."""
    known = set(vocabulary)
    return tuple(sorted({s for w in vocabulary for s in synonyms.get(w, ()) if s not in known}))


class SynonymIds:
    """The synonyms of each word id as word ids: those of one word lie side by side.

    On a CPU the arrays are NumPy's, elsewhere torch's.
    """

    def __init__(self, synonyms: Synonyms, vocabulary: Sequence[str]) -> None:
        number = numbered(vocabulary)
        each = [[number[s] for s in synonyms.get(w, ()) if s in number] for w in vocabulary]
        counts = np.array([0] * FIRST + [len(ids) for ids in each])
        self.xp: ModuleType = np
        self.counts: Array = counts  # [words] how many a word has
        self.starts: Array = counts.cumsum() - counts  # [words] the place of its first
        self.ids: Array = np.array([i for ids in each for i in ids] + [0], dtype=np.int32)

    def to(self, device: torch.device) -> SynonymIds:
        """Bring the tables to a device."""
        if device.type != "cpu" and self.xp is np:
            self.become_tensors(device)
        return self

    def become_tensors(self, device: torch.device) -> None:
        """Turn NumPy's arrays into tensors on a device."""
        tables = self.counts, self.starts, self.ids
        self.counts, self.starts, self.ids = (
            torch.from_numpy(t).to(device, non_blocking=True) for t in tables
        )
        self.xp = torch
