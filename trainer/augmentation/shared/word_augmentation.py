"""Base of the augmentations of texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.synonyms import (
    WORDNET,
    Array,
    SynonymIds,
    Synonyms,
    further_words,
    synonyms_of,
)
from trainer.augmentation.shared.word_edits import OPERATIONS, Operation, Words
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split
from trainer.dataset.shared.texts import Texts

SLACK = 1e-6  # 0.7 · 10 in float32 is below 7


class WordAugmentation(Augmentation):
    """Changes a text by one of some operations, with a `probability`.

    ⌊alpha · words⌋ of its words change, and at least one. A text of one word or none stays as it
    is. Synonyms that the training texts lack become words of the vocabulary: what they stand for is
    learned, too (sec. 5 of the paper).
    """

    inputs = ("text",)

    def __init__(
        self,
        setting: str,
        operations: Sequence[Operation],
        *,
        alpha: float,
        probability: float,
        synonyms: str | None = None,
    ) -> None:
        within(f"{setting}.alpha", alpha, "[0, 1]")
        within(f"{setting}.probability", probability, "[0, 1]")
        self.operations = [OPERATIONS[name] for name in operations]
        self.alpha, self.probability = alpha, probability
        self.synonyms: Synonyms = {}
        if synonyms is not None:
            check_name(f"{setting}.synonyms", synonyms)
            self.synonyms = synonyms_of(synonyms, f"{setting}.synonyms")
        self.table: SynonymIds | None = None

    def words(self, vocabulary: Sequence[str]) -> tuple[str, ...]:
        """The words it writes that a vocabulary lacks."""
        return further_words(self.synonyms, vocabulary)

    def prepare(self, split: Split) -> None:
        """Look up the synonyms of the split's vocabulary."""
        assert isinstance(split.images, Texts)  # noqa: S101  (run.compatibility)
        self.table = SynonymIds(self.synonyms, split.images.vocabulary)

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Changed texts, word ids [B, L]."""
        if self.table is None:
            raise RuntimeError("an augmentation of texts needs prepare(split) first")
        if not len(images):
            return images
        words, kind, chance = self.drawn(images, draws, self.table.to(images.device))
        choice = words.below(len(self.operations), kind)
        choice[(chance >= self.probability) | (words.length < 2)] = -1
        made = words.ids
        for number, operation in enumerate(self.operations):
            made = words.xp.where(choice == number, operation(words), made)
        made = torch.as_tensor(made)
        return F.pad(made, (0, images.shape[1] - made.shape[1]))

    def drawn(
        self, ids: Tensor, draws: ExampleRandom, synonyms: SynonymIds
    ) -> tuple[Words, Array, Array]:
        """The texts with their numbers, and two more for each text [B, 1].

        On a CPU, without columns that stay padding: a GPU would wait for the length of the longest.
        A row's numbers come in the same order whatever the width, four for each column.
        """
        xp, given = synonyms.xp, as_array(ids, synonyms.xp)
        length = (given != 0).sum(1)[:, None]
        part = xp.asarray(length, dtype=xp.float32) * self.alpha + SLACK
        number = xp.clip(xp.asarray(part, dtype=xp.int64), 1, None)
        width, most = ids.shape[1], max(1, int(self.alpha * ids.shape[1] + SLACK))
        if ids.device.type == "cpu":
            most = int(number.max())
            width = min(width, int(length.max()) + most)
        numbers = as_array(draws.uniforms(3 + 4 * width), xp)
        kind, chance, once = (numbers[:, i : i + 1] for i in range(3))
        each, *changes = (numbers[:, i::4] for i in range(3, 7))
        rows = as_array(torch.arange(len(ids), device=ids.device)[:, None], xp)
        words = Words(
            given[:, :width],
            length,
            number,
            each,
            once,
            [values[:, :most] for values in changes],
            rows,
            as_array(torch.arange(width, device=ids.device), xp),
            self.alpha,
            synonyms,
        )
        return words, kind, chance


def as_array(values: Tensor, xp: ModuleType) -> Array:
    """A tensor as an array of a module: NumPy's shares its memory."""
    return values.numpy() if xp is np else values


def check_name(setting: str, synonyms: str) -> None:
    """Raise ValueError for synonyms that are neither WordNet's nor a file's."""
    if synonyms != WORDNET and not Path(synonyms).is_file():
        raise ValueError(f"{setting} must be {WORDNET} or a file, got {synonyms}")
