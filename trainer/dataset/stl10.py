"""STL-10 (Coates, Lee, Ng 2011, https://cs.stanford.edu/~acoates/stl10): 96x96."""

from dataclasses import dataclass

import torchvision

from trainer.dataset.base import Raw
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of

CLASSES = "airplane bird car cat deer dog horse monkey ship truck"


@dataclass(kw_only=True)
class Stl10(TorchvisionDataset):
    """The labelled 5,000 + 8,000 images, read from `<root>/stl10_binary`."""

    def load(self) -> Raw:
        """Load both parts into memory (360 MB). Raises DataError if they are missing or damaged."""
        make = torchvision.datasets.STL10
        parts = [self.open_source(make, split=name) for name in ("train", "test")]
        train, test = (split_of(part.data, part.labels) for part in parts)
        return Raw(
            train,
            test,
            tuple(CLASSES.split()),
            mean=(0.4467, 0.4398, 0.4066),
            std=(0.2603, 0.2566, 0.2713),
        )
