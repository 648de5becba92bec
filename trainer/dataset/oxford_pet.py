"""Oxford-IIIT Pet (Parkhi et al. 2012, https://www.robots.ox.ac.uk/~vgg/data/pets)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torchvision

from trainer.core.errors import DataError
from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.masks import IMAGENET_MEAN, IMAGENET_STD, MaskDataset

TRIMAP = ("pet", "background", "border")  # 1, 2, 3 in the files


@dataclass(kw_only=True)
class OxfordPet(MaskDataset):
    """3,680 + 3,669 images of cats and dogs, read from `<root>/oxford-iiit-pet`.

    `target=mask` is the trimap of three classes, for segmentation; `category` is the breed, one of
    37 classes, for classification.
    """

    target: Literal["mask", "category"] = "mask"

    def load(self) -> Raw:
        """List the images and decode the masks. Raises DataError if one is missing or damaged."""
        make = torchvision.datasets.OxfordIIITPet
        breeds = tuple(self.open_source(make, split="trainval").classes)
        classes = TRIMAP if self.target == "mask" else breeds
        train, test = self.part("trainval"), self.part("test")
        return Raw(train, test, classes, mean=IMAGENET_MEAN, std=IMAGENET_STD)

    def part(self, name: str) -> Split:
        """The published split `trainval` or `test`. Raises DataError if its list cannot be read."""
        folder = Path(self.root) / "oxford-iiit-pet"
        listing = folder / "annotations" / f"{name}.txt"
        try:
            rows = [line.split() for line in listing.read_text(encoding="utf-8").splitlines()]
            labels = torch.tensor([int(label) - 1 for _, label, *_ in rows])
        except (OSError, ValueError) as error:
            raise DataError(f"cannot read {listing}: {error}") from error
        images = [folder / "images" / f"{row[0]}.jpg" for row in rows]
        if self.target == "category":
            return self.split(images, labels)
        trimaps = self.masks([folder / "annotations" / "trimaps" / f"{row[0]}.png" for row in rows])
        return self.split(images, trimaps - 1)
