"""MNIST (LeCun, Cortes, Burges 1998): 60,000 + 10,000 grey images of 28x28."""

from dataclasses import dataclass

import torchvision

from trainer.dataset.base import Raw
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class Mnist(TorchvisionDataset):
    """Read from `<root>/MNIST/raw`."""

    def load(self) -> Raw:
        """Both parts, all in memory (55 MB)."""
        train, test = (self.read(torchvision.datasets.MNIST, train=part) for part in (True, False))
        return Raw(
            split_of(train.data, train.targets),
            split_of(test.data, test.targets),
            tuple("0123456789"),
            mean=(0.1307,),
            std=(0.3081,),
        )
