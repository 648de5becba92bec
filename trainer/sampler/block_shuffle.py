"""Every example once, in an order that keeps neighbours together."""

import numpy as np
import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.sampler.base import Sampler


class BlockShuffle(Sampler):
    """Cuts the data set into blocks of `block` neighbours, and draws the order of these.

    The examples of `buffer` blocks at a time are then permuted: a shuffle of shards with a buffer
    behind it, but like every sampler a function of seed and epoch. A reader that keeps `buffer`
    blocks reads each of them once, such as the row groups of dataset=huggingface. `buffer` times
    `block` examples should be many batches, and, where the data set is sorted by class, far more
    than those of a class.
    """

    def __init__(self, *, block: int = 256, buffer: int = 16) -> None:
        within("sampler.block", block, "[1, inf)")
        within("sampler.buffer", buffer, "[1, inf)")
        self.block = block
        self.buffer = buffer

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """All ids [n] of the split."""
        ids = split.ids.numpy()
        first = rng.permutation(np.arange(0, len(ids), self.block))
        blocks = [ids[i : i + self.block] for i in first]
        groups = [blocks[i : i + self.buffer] for i in range(0, len(blocks), self.buffer)]
        mixed = [rng.permutation(np.concatenate(group)) for group in groups]
        return torch.from_numpy(np.concatenate(mixed) if mixed else ids), None
