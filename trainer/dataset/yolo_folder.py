"""Boxes in YOLO's format: a text file for each image (Redmon et al. 2016, arXiv:1506.02640)."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from trainer.core.errors import DataError
from trainer.core.text import count
from trainer.core.yaml_limits import AS_TEXT, exceeded_limit
from trainer.dataset.shared.box_files import BoxDataset, Listing
from trainer.dataset.shared.class_folders import ImageList
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.json_file import read_text
from trainer.dataset.shared.split_folders import NAMES

IMAGES, LABELS = "images", "labels"
LARGEST = 2**20  # bytes of a label file


@dataclass(kw_only=True)
class YoloFolder(BoxDataset):
    """`root/images/train/*.jpg` with `root/labels/train/*.txt`, and val and test likewise.

    Or `root/train/images` with `root/train/labels`; or `root/images` with `root/labels` and no
    splits. A line of a label file is a class from 0, then the middle, width and height of a box as
    fractions of the image's width and height. An image without a label file has no boxes. `names`
    is the file of the classes: a YAML file with the list `names`, or a name a line.
    """

    root: str = "data"
    names: str = "data.yaml"

    def listing(self) -> Listing:
        """List the images and read their boxes. Raises DataError naming the file."""
        listed = Listing(class_names(Path(self.root) / self.names), relative=True)
        for split, images in image_folders(Path(self.root)).items():
            labels = label_folder(Path(self.root), images)
            for path in ImageList(images).paths:
                file = (labels / Path(path).relative_to(images)).with_suffix(".txt")
                rows = boxes_of(file, len(listed.classes)) if file.exists() else []
                listed.add(path, rows, split)
        return listed


def image_folders(root: Path) -> dict[str, Path]:
    """The folder of images of each split. Raises DataError where there is none for training."""
    found: dict[str, Path] = {}
    for split, names in NAMES.items():
        both = ((root / IMAGES / name, root / name / IMAGES) for name in names)
        folders = [folder for pair in both for folder in pair if folder.is_dir()]
        if len(folders) > 1:
            shown = " and ".join(printable(folder) for folder in folders)
            raise DataError(f"{shown} are both images for {split}; move one out of the root")
        if folders:
            found[split] = folders[0]
    if not found and (root / IMAGES).is_dir():
        return {"train": root / IMAGES}
    if "train" not in found:
        raise DataError(
            f"{printable(root)} has no folder images/train, train/images or images; set "
            "dataset.root"
        )
    return found


def label_folder(root: Path, images: Path) -> Path:
    """The folder of labels that belongs to one of images. Raises DataError."""
    parts = [LABELS if part == IMAGES else part for part in images.relative_to(root).parts]
    folder = root.joinpath(*parts)
    if not folder.is_dir():
        raise DataError(
            f"{printable(images)} has no labels: there is no folder {printable(folder)}"
        )
    return folder


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes. Raises DataError."""
    text = read_text(path, LARGEST)
    if path.suffix not in (".yaml", ".yml"):
        names: object = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        names = names_in(path, text)
    if isinstance(names, dict):
        names = [names.get(str(i)) for i in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(f"{printable(path)} has no list of classes called names")
    found = tuple(map(str, names))
    if len(set(found)) < len(found):
        raise DataError(f"{printable(path)} has two classes of a name")
    return found


def names_in(path: Path, text: str) -> object:
    """The entry `names` of a YAML text, as it is written: `no` is a name. Raises DataError."""
    try:
        problem = exceeded_limit(text, tags=False)
        content = None if problem else yaml.load(text, AS_TEXT)  # noqa: S506  (only texts)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = printable(" ".join(str(error).split()))
        raise DataError(f"{printable(path)} is no YAML: {reason}") from error
    if problem:
        raise DataError(f"{printable(path)}: {printable(problem)}")
    return content.get("names") if isinstance(content, dict) else None


def boxes_of(path: Path, classes: int) -> list[list[float]]:
    """Class from 1 and edges, as fractions, of each line of a label file. Raises DataError."""
    rows = []
    for number, line in enumerate(read_text(path, LARGEST).splitlines(), start=1):
        cells = line.split()
        if not cells:
            continue
        where = f"{printable(path)}, line {number}"
        if len(cells) != 5:
            raise DataError(
                f"{where}: {count(len(cells), 'number')}; a box has five: class, middle x and y, "
                "width, height"
            )
        rows.append(box_of(cells, classes, where))
    return rows


def box_of(cells: list[str], classes: int, where: str) -> list[float]:
    """Class from 1 and edges of a line's five cells. Raises DataError."""
    try:
        kind, x, y, width, height = map(float, cells)
    except ValueError as error:
        raise DataError(f"{where}: {printable(str(error))}") from error
    if kind not in range(classes):
        raise DataError(f"{where}: class {kind:g} is not one from 0 to {classes - 1}")
    if not all(0 <= value <= 1 for value in (x, y, width, height)):
        raise DataError(f"{where}: the numbers of a box are fractions from 0 to 1")
    return [kind + 1, x - width / 2, y - height / 2, x + width / 2, y + height / 2]
