"""Texts in memory, as the numbers of their words."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from trainer.dataset.shared.words import PADDING, UNKNOWN, numbered, words_of


class Texts:
    """M texts: a source of word ids int32 [M, L], where images are pixels [M, C, H, W].

    A text of more than L words loses its end; a shorter one is padded with 0. A word without a
    number in the `vocabulary` is 1.
    """

    def __init__(self, texts: Sequence[str], length: int, vocabulary: tuple[str, ...] = ()) -> None:
        self.texts = texts
        self.words = [words_of(text) for text in texts]
        self.shape: tuple[int, ...] = (length,)
        self.vocabulary = vocabulary

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def word_ids(self) -> Tensor:
        """The word ids int32 [M, L] of all texts."""
        number, (length,) = numbered(self.vocabulary), self.shape
        ids = torch.full((len(self), length), PADDING, dtype=torch.int32)
        for row, words in enumerate(self.words):
            found = [number.get(word, UNKNOWN) for word in words[:length]]
            ids[row, : len(found)] = torch.tensor(found, dtype=torch.int32)
        return ids

    def read(self, ids: Sequence[int]) -> Tensor:
        """The texts `ids` as word ids int32 [len(ids), L]."""
        return self.word_ids[torch.as_tensor(ids, dtype=torch.int64)]

    def encoded(self, vocabulary: tuple[str, ...], length: int) -> Texts:
        """The same texts by another vocabulary and length."""
        other = copy(self)
        other.__dict__.pop("word_ids", None)
        other.vocabulary, other.shape = vocabulary, (length,)
        return other

    def joined(self, further: Texts) -> Texts:
        """These texts, and further ones behind them."""
        return Texts([*self.texts, *further.texts], self.shape[0], self.vocabulary)
