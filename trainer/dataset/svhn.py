"""Street View House Numbers (Netzer et al. 2011, http://ufldl.stanford.edu/housenumbers): 32x32."""

from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
import torchvision

from trainer.dataset.base import Pixels, Raw, Split
from trainer.dataset.shared.torchvision import TorchvisionDataset, split_of


@dataclass(kw_only=True)
class Svhn(TorchvisionDataset):
    """73,257 + 26,032 images, read from `<root>/{train,test,extra}_32x32.mat`.

    With `extra` the 531,131 easier ones are trained on too (1.6 GB), behind the others.
    """

    extra: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if find_spec("scipy") is None:
            raise ValueError("dataset=svhn needs scipy: pip install 'trainer[svhn]'")

    def load(self) -> Raw:
        """All parts, all in memory."""
        train, test = self.part("train"), self.part("test")
        return Raw(
            joined(train, self.part("extra")) if self.extra else train,
            test,
            tuple("0123456789"),
            mean=(0.4377, 0.4438, 0.4728),
            std=(0.1980, 0.2010, 0.1970),
        )

    def part(self, name: str) -> Split:
        """One of the files."""
        read = self.read(torchvision.datasets.SVHN, split=name)
        return split_of(read.data, read.labels)


def joined(first: Split, second: Split) -> Split:
    """Two whole sources as one."""
    images = [split.images.read(range(len(split))) for split in (first, second)]
    labels = torch.cat([first.labels, second.labels])
    return replace(
        first, images=Pixels(torch.cat(images)), labels=labels, ids=torch.arange(len(labels))
    )
