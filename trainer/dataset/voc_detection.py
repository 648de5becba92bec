"""Pascal VOC, detection (Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import torchvision

from trainer.core.errors import DataError
from trainer.dataset.shared.box_files import BoxDataset, Listing
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.json_file import read_text
from trainer.dataset.shared.torchvision import TorchvisionDataset
from trainer.dataset.shared.voc import CLASSES as VOC

CLASSES = tuple(VOC[1:])  # without the background of segmentation
EDGES = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 2**20  # bytes of a label file


@dataclass(kw_only=True)
class VocDetection(BoxDataset, TorchvisionDataset):
    """The images of a year and set, tested on another: those of 2007 have a public test set.

    Read from `<root>/VOCdevkit/VOC<year>`. The outlines in the files name the first and last pixel,
    counted from 1; here x0 = xmin − 1 and x1 = xmax. Objects marked `difficult` count nothing in
    training and are treated as crowds in evaluation: VOC leaves them out, too.
    """

    year: Literal[2007, 2008, 2009, 2010, 2011, 2012] = 2012
    train: Literal["train", "trainval"] = "train"
    test: Literal["val", "test"] = "val"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test == "test" and self.year != 2007:
            raise ValueError(
                f"dataset.test=test has public labels for dataset.year=2007 alone, got {self.year}"
            )
        if self.train == "trainval" and self.test == "val":
            raise ValueError("dataset.train=trainval holds val; set dataset.test=test")

    def listing(self) -> Listing:
        """List the images and read their boxes. Raises DataError naming the file."""
        listed = Listing(CLASSES)
        for split, name in (("train", self.train), ("test", self.test)):
            make = torchvision.datasets.VOCDetection
            source = self.open_source(make, year=str(self.year), image_set=name)
            for image, labels in zip(source.images, source.annotations, strict=True):
                listed.add(str(image), boxes_of(Path(labels)), split)
        return listed


def boxes_of(path: Path) -> list[list[float]]:
    """The boxes in a label file. Raises DataError."""
    text = read_text(path, LARGEST)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{printable(path)} has a document type, which a label file has not")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314
        return [box_of(each) for each in root.iter("object")]
    except (ElementTree.ParseError, ValueError, KeyError, RecursionError) as error:
        reason = printable(str(error))
        raise DataError(f"{printable(path)} is no label file of VOC: {reason}") from error


def box_of(item: Any) -> list[float]:
    """Class and edges of an object. Raises ValueError or KeyError."""
    name = (item.findtext("name") or "").strip()
    if name not in CLASSES:
        raise ValueError(f"no class {name!r}")
    edges = [float(item.findtext(f"bndbox/{edge}") or "nan") for edge in EDGES]
    kind = CLASSES.index(name) + 1
    x0, y0, x1, y1 = edges
    difficult = (item.findtext("difficult") or "0").strip() == "1"
    return [-kind if difficult else kind, x0 - 1, y0 - 1, x1, y1]
