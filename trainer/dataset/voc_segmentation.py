"""Pascal VOC, segmentation (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4)."""

from dataclasses import dataclass
from typing import Literal

import torchvision

from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.masks import IMAGENET_MEAN, IMAGENET_STD, MaskDataset
from trainer.dataset.shared.voc import CLASSES


@dataclass(kw_only=True)
class VocSegmentation(MaskDataset):
    """The `train` images of a year, tested on its `val` images: the test masks are not public.

    Read from `<root>/VOCdevkit/VOC<year>`; 2012 has 1,464 + 1,449 images. The outlines of objects
    are 255 in the masks and belong to no class: see task.ignore_index.
    """

    year: Literal[2007, 2008, 2009, 2010, 2011, 2012] = 2012

    def load(self) -> Raw:
        """List the images and decode the masks. Raises DataError if one is missing or damaged."""
        train, val = self.part("train"), self.part("val")
        return Raw(train, val, tuple(CLASSES), mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def part(self, name: str) -> Split:
        """The published split `train` or `val`."""
        make = torchvision.datasets.VOCSegmentation
        source = self.open_source(make, year=str(self.year), image_set=name)
        return self.split(source.images, self.masks(source.masks))
