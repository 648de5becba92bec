"""CIFAR-10 (Krizhevsky 2009, "Learning multiple layers of features from tiny images"): 32x32."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torchvision

from trainer.dataset.base import Raw
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class Cifar10(TorchvisionDataset):
    """50,000 + 10,000 images, read from `<root>/cifar-10-batches-py`.

    `std` is over all pixels of a channel. The often quoted (0.2023, 0.1994, 0.2010) is the mean of
    the standard deviations of single images.
    """

    make: ClassVar[Any] = torchvision.datasets.CIFAR10
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    def load(self) -> Raw:
        """Load both parts into memory (184 MB). Raises DataError if they are missing or damaged."""
        parts = [self.open_source(self.make, train=part) for part in (True, False)]
        train, test = (split_of(part.data.transpose(0, 3, 1, 2), part.targets) for part in parts)
        return Raw(train, test, tuple(parts[0].classes), mean=self.mean, std=self.std)
