"""Street View House Numbers (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers): 32x32."""

from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
import torchvision

from trainer.core.extra import missing
from trainer.dataset.base import Pixels, Raw, Split
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class Svhn(TorchvisionDataset):
    """73,257 + 26,032 images, read from `<root>/{train,test,extra}_32x32.mat`.

    `extra` appends the 531,131 easier images to the training source (1.6 GB).
    """

    extra: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if find_spec("scipy") is None:
            raise missing("dataset=svhn", "svhn")

    def load(self) -> Raw:
        """Load all parts into memory. Raises DataError if they are missing or damaged."""
        train, test = self.part("train"), self.part("test")
        return Raw(
            concatenated(train, self.part("extra")) if self.extra else train,
            test,
            tuple("0123456789"),
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
        )

    def part(self, name: str) -> Split:
        """The images of one file: `train`, `test` or `extra`."""
        source = self.open_source(torchvision.datasets.SVHN, split=name)
        return split_of(source.data, source.labels)


def concatenated(first: Split, second: Split) -> Split:
    """Two splits in memory as one, the second after the first."""
    images = [split.images.read(range(len(split))) for split in (first, second)]
    labels = torch.cat([first.labels, second.labels])
    return replace(
        first, images=Pixels(torch.cat(images)), labels=labels, ids=torch.arange(len(labels))
    )
