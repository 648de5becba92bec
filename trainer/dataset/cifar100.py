"""CIFAR-100 (Krizhevsky 2009): 32x32, 100 classes."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torchvision

from trainer.dataset.cifar10 import Cifar10


@dataclass(kw_only=True)
class Cifar100(Cifar10):
    """50,000 + 10,000 images with their fine labels, read from `<root>/cifar-100-python`."""

    make: ClassVar[Any] = torchvision.datasets.CIFAR100
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4865, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)
