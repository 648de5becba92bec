"""MNIST (LeCun, Cortes, Burges 1998): 60,000 + 10,000 grey images of 28x28."""

from dataclasses import dataclass

import torchvision

from trainer.dataset.base import Raw
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class Mnist(TorchvisionDataset):
    """60,000 + 10,000 images, read from `<root>/MNIST/raw`."""

    def load(self) -> Raw:
        """Load both parts into memory (55 MB). Raises DataError if they are missing or damaged."""
        make = torchvision.datasets.MNIST
        train, test = (self.open_source(make, train=part) for part in (True, False))
        return Raw(
            split_of(train.data, train.targets),
            split_of(test.data, test.targets),
            tuple("0123456789"),
            mean=(0.1307,),
            std=(0.3081,),
        )
