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

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.table import read_text
from trainer.dataset.shared.words import FIRST, numbered, word_ids, words_of

WORDNET = "wordnet"
FILE = Path(__file__).parents[1] / "synonyms.txt.gz"

Synonyms = Mapping[str, Sequence[str]]


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
    """The synonyms of each word id as word ids: those of one word lie side by side."""

    def __init__(self, synonyms: Synonyms, vocabulary: Sequence[str]) -> None:
        number = numbered(vocabulary)
        each = [[number[s] for s in synonyms.get(w, ()) if s in number] for w in vocabulary]
        self.counts = torch.zeros(word_ids(vocabulary), dtype=torch.int64)
        self.counts[FIRST:] = torch.tensor([len(ids) for ids in each], dtype=torch.int64)
        self.starts = self.counts.cumsum(0) - self.counts
        self.ids = torch.tensor([i for ids in each for i in ids] or [0], dtype=torch.int32)

    def to(self, device: torch.device) -> SynonymIds:
        """Bring the tables to a device."""
        if self.counts.device != device:
            self.counts = self.counts.to(device, non_blocking=True)
            self.starts = self.starts.to(device, non_blocking=True)
            self.ids = self.ids.to(device, non_blocking=True)
        return self

    def number(self, ids: Tensor) -> Tensor:
        """How many synonyms each of some word ids has."""
        return self.counts[ids]

    def pick(self, ids: Tensor, u: Tensor) -> Tensor:
        """A synonym of each of some word ids, by numbers u in [0, 1); any where there is none."""
        at = self.starts[ids] + (u * self.counts[ids]).long()
        return self.ids[at.clamp(max=len(self.ids) - 1)]
