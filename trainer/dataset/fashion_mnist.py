"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, https://arxiv.org/abs/1708.07747): 28x28."""

from dataclasses import dataclass

import torchvision

from trainer.dataset.base import Raw
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class FashionMnist(TorchvisionDataset):
    """60,000 + 10,000 images, read from `<root>/FashionMNIST/raw`."""

    def load(self) -> Raw:
        """Load both parts into memory (55 MB). Raises DataError if they are missing or damaged."""
        make = torchvision.datasets.FashionMNIST
        train, test = (self.open_source(make, train=part) for part in (True, False))
        return Raw(
            split_of(train.data, train.targets),
            split_of(test.data, test.targets),
            tuple(make.classes),
            mean=(0.2860,),
            std=(0.3530,),
        )
