"""The four operations of EDA (Wei and Zou 2019, https://arxiv.org/abs/1901.11196), sec. 2, batched.

Word ids are [B, W], 0 is padding behind the words. Each row has `number` [B] words to change and
draws from its own random numbers, so that it is changed alike in any batch and under any padding.

Where the authors' code (github.com/jasonwei20/eda_nlp) differs from their paper, these follow the
paper. Replacement changes a place, the code every occurrence of its word. Insertion takes any
synonym of the word and any place, the last one too; the code takes the first synonym, of stop words
too, and never the last place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainer.augmentation.shared.synonyms import SynonymIds

Operation = Literal["replace", "insert", "swap", "delete"]


@dataclass(frozen=True)
class Words:
    """The words of a batch, how many of each row an operation changes, and its random numbers.

    A row is changed by one operation alone, so that all may use the same numbers, uniform on
    [0, 1).
    """

    ids: Tensor  # [B, W]
    length: Tensor  # [B]
    number: Tensor  # [B]
    each: Tensor  # [B, W] a number for each word
    once: Tensor  # [B, 1] one for the row
    changes: Sequence[Tensor]  # three times [B, n], n being the most of `number`
    alpha: float
    synonyms: SynonymIds

    @property
    def used(self) -> Tensor:
        """Which of the n changes a row makes, bool [B, n]: its first `number`."""
        most = self.changes[0].shape[1]
        return torch.arange(most, device=self.ids.device) < self.number[:, None]


def replace(words: Words) -> Tensor:
    """Replace `number` words that have synonyms, each by one of its own."""
    ids, used, u = words.ids, words.used, words.changes[0]
    order = words.each.masked_fill(words.synonyms.number(ids) == 0, -1.0)
    rank, at = order.topk(min(used.shape[1], ids.shape[1]), 1)
    old, most = ids.gather(1, at), at.shape[1]
    changed = used[:, :most] & (rank >= 0)
    return ids.scatter(1, at, words.synonyms.pick(old, u[:, :most]).where(changed, old))


def insert(words: Words) -> Tensor:
    """Insert synonyms of `number` words at random places; a row that is full loses its end."""
    ids, width = words.ids, words.ids.shape[1]
    which, u, place = words.changes
    able = words.synonyms.number(ids) > 0
    first = able.byte().argsort(dim=1, descending=True, stable=True)  # those with synonyms first
    count = able.sum(1, keepdim=True)
    at = first.gather(1, (which * count).long())
    unused = ~(words.used & (count > 0))
    new = words.synonyms.pick(ids.gather(1, at), u).masked_fill(unused, 0)
    before = (place * (words.length + 1)[:, None]).long() - 0.5  # of word 0, 1, ... or behind all
    keys = torch.arange(width, device=ids.device).expand_as(ids).masked_fill(ids == 0, 2 * width)
    keys = torch.cat([keys, before.masked_fill(unused, 2 * width)], 1)
    order = keys.argsort(dim=1, stable=True)
    return torch.cat([ids, new], 1).gather(1, order[:, :width])


def swap(words: Words) -> Tensor:
    """Swap two words of different places, `number` times in turn; rows have two words or more."""
    ids, length = words.ids.clone(), words.length[:, None]
    first, further, _ = words.changes
    one = (first * length).long()
    other = (one + 1 + (further * (length - 1)).long()) % length.clamp(min=1)
    pairs = torch.stack([one, other.where(words.used, one)], 2)
    for pair, back in zip(pairs.unbind(1), pairs.flip(2).unbind(1), strict=True):
        ids.scatter_(1, pair, ids.gather(1, back))
    return ids


def delete(words: Words) -> Tensor:
    """Delete each word with probability `alpha`; of a row that loses all, a random one stays."""
    ids = words.ids
    kept = (words.each >= words.alpha) & (ids != 0)
    place = (words.once * words.length[:, None]).long()
    spared = torch.arange(ids.shape[1], device=ids.device) == place
    kept |= spared & ~kept.any(1, keepdim=True)
    return (ids * kept).gather(1, kept.byte().argsort(dim=1, descending=True, stable=True))


OPERATIONS: dict[Operation, Callable[[Words], Tensor]] = {
    "replace": replace,
    "insert": insert,
    "swap": swap,
    "delete": delete,
}
