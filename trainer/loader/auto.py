"""`memory` for data sets that fit, `stream` for others."""

import math

import torch

from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.loader.base import Feed, Loader
from trainer.loader.memory import Memory
from trainer.loader.shared.ragged import ends_of
from trainer.loader.stream import Stream


class Auto(Loader):
    """`memory` for sources of at most `memory_gb` gigabytes, `stream` above.

    Counts images as uint8 and their labels: a mask takes as much as a channel. Of images stored
    uncut the sizes are read.
    """

    def __init__(self, *, workers: int = 2, memory_gb: float = 4.0) -> None:
        within("loader.memory_gb", memory_gb, "[0, inf)")
        self.memory_gb = memory_gb
        self.memory = Memory(workers=workers)
        self.stream = Stream(workers=workers)

    def open(self, split: Split, device: torch.device) -> Feed:
        """A feed of the split, from the loader that suits its size."""
        images = split.images
        if isinstance(images, UncutFiles):
            size = int(ends_of(images)[-1])
        else:
            size = len(images) * math.prod(images.shape)
        fits = size + split.labels.nbytes <= self.memory_gb * 1e9
        return (self.memory if fits else self.stream).open(split, device)
