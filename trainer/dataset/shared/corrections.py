"""Corrected labels: a table of images to be relabelled or dropped, as a reviewer leaves it.

Columns: `path`, the image's file, as `job=examples` lists it or below dataset.root; or `id`, the
dataset id in a run with the same dataset settings. Where the images are files and both are given,
the path decides. Then `label`, the class by name or id (`dog;car` where an image may have several),
empty where it stays; and `drop`, 1 for an image to be left out. A column `action` with keep,
unsure, relabel or drop may say so instead. Other columns are ignored.
"""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.suggest import did_you_mean
from trainer.core.text import count, plain
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.split import Split
from trainer.dataset.shared.table import Table, plain_cell, read_table, shown

SETTING = "dataset.corrections"
COLUMNS = ("path", "id", "label", "drop", "action")
YES, NO = ("1", "true", "yes", "x"), ("0", "false", "no", "")
ACTIONS = ("", "keep", "unsure", "relabel", "drop")
SEPARATOR = ";"  # between the classes of one image
LARGEST = 2**26  # bytes of a file: about a million rows with paths
DIGITS = 18  # of a number, more than any id has; int() refuses to read thousands


@dataclass(frozen=True)
class Correction:
    """What becomes of one image."""

    row: int  # of the table
    image: str | int  # its absolute path, printable, or its dataset id
    classes: tuple[str, ...] | None  # the names of its classes; None to drop it


class Corrections:
    """The corrections of a file, their images and labels looked up in the data set."""

    def __init__(
        self,
        file: str,
        folder: str | None,
        classes: tuple[str, ...],
        splits: Sequence[Split],
    ) -> None:
        """Read a file; paths may be below `folder`, `classes` and `splits` are the data set's.

        Raises DataError, by line, for an image or a class that the data set does not have.
        """
        self.table = read_table(file, SETTING, COLUMNS, LARGEST)
        self.sha256 = self.table.sha256
        images = named_images(self.table, folder, {p for split in splits for p in rows_of(split)})
        row_of, first = rows_of(splits[0]), dict[str | int, int]()
        for row, image in enumerate(images):
            key = row_of.get(image, image) if isinstance(image, str) else image  # id and path
            if first.setdefault(key, row) != row:
                line = self.table.lines[first[key]]
                raise self.table.fault(
                    row, f"the same example as in line {line}; remove one of them"
                )
        changes = Changes(self.table, classes, splits[0])
        found = [changes.correction(row, image) for row, image in enumerate(images)]
        self.items = [item for item in found if item is not None]

    def apply(
        self, train: Split, val: Split, test: Split, classes: tuple[str, ...]
    ) -> tuple[Split, Split, str]:
        """Training and validation split, corrected, and how much has changed, in a line.

        `classes` are those that are left: an example of any other class is dropped. Raises
        DataError, by line, for an id that is none, and where no validation example is left.
        """
        for item in self.items:
            if isinstance(item.image, int) and not 0 <= item.image < len(train.labels):
                raise self.table.fault(
                    item.row,
                    f"no id {item.image}: the training examples are 0 to {len(train.labels) - 1}",
                )
        fixed, relabelled, dropped = self.corrected(train, classes, by_id=True)
        same = val.images is train.images
        fixed_val, *more = self.corrected(val, classes, by_id=same)
        if len(val) and not len(fixed_val):
            raise DataError(
                f"{SETTING}={printable(self.table.path)} drops all {count(len(val), 'example')} of "
                "the validation split; keep some of them"
            )
        about = (
            f"{SETTING}: {count(relabelled + more[0], 'label')} changed, "
            f"{count(dropped + more[1], 'example')} dropped by {printable(self.table.path)}"
        )
        if tested := len(self.within(test, by_id=test.images is train.images)):
            rows = f"{count(tested, 'row')} name{'s' * (tested == 1)}"
            about += f"; {rows} test examples, which stay as they are"
        return fixed, fixed_val, about

    def within(self, split: Split, *, by_id: bool) -> list[tuple[int, Correction]]:
        """The corrections of examples in a split, with their rows; by path alone unless `by_id`."""
        inside = torch.zeros(len(split.labels), dtype=torch.bool)
        inside[split.ids] = True
        row_of = rows_of(split)
        found = []
        for item in self.items:
            row = row_of.get(item.image) if isinstance(item.image, str) else item.image
            if row is not None and (by_id or isinstance(item.image, str)) and inside[row]:
                found.append((row, item))
        return found

    def corrected(
        self, split: Split, classes: tuple[str, ...], *, by_id: bool
    ) -> tuple[Split, int, int]:
        """A split with its corrections, the number of labels changed and of examples dropped."""
        kept, changed = torch.ones(len(split.labels), dtype=torch.bool), 0
        labels = split.labels.clone() if self.relabels else split.labels
        for row, item in self.within(split, by_id=by_id):
            if item.classes is None or not set(item.classes) <= set(classes):
                kept[row] = False
            else:
                labels[row] = label_of(item.classes, classes, labels)
                changed += not torch.equal(labels[row], split.labels[row])
        ids = split.ids[kept[split.ids]]
        return replace(split, labels=labels, ids=ids), changed, len(split) - len(ids)

    @property
    def relabels(self) -> bool:
        """Whether an image gets another label."""
        return any(item.classes is not None for item in self.items)


class Changes:
    """What a table says of each image: nothing, its classes, or that it is to be dropped."""

    def __init__(self, table: Table, classes: tuple[str, ...], split: Split) -> None:
        self.table = table
        self.classes = classes
        self.known = {plain(each).strip(): each for each in classes} | {c: c for c in classes}
        self.target = split.target
        self.labels, self.drops, self.actions = (
            table.column(name, SETTING) if table.has(name) else [""] * len(table.rows)
            for name in ("label", "drop", "action")
        )
        if not any(map(table.has, ("label", "drop", "action"))):
            raise table.fault(None, "a column label, drop or action must say what to correct")

    def correction(self, row: int, image: str | int) -> Correction | None:
        """What a row says of its image; None to leave it as it is. Raises DataError by line."""
        drop = self.chosen(row, "drop", self.drops[row], YES + NO) in YES
        action = self.chosen(row, "action", self.actions[row], ACTIONS)
        label = self.labels[row]
        if action == "relabel" and not label:
            raise self.table.fault(row, "action is relabel, but there is no label")
        if drop and action not in ("", "drop"):
            raise self.table.fault(row, f"action is {action}, but drop is {self.drops[row]}")
        if drop or action == "drop":
            return Correction(row, image, None)
        if action in ("keep", "unsure") or not label:
            return None
        return Correction(row, image, self.names(row, label))

    def chosen(self, row: int, column: str, cell: str, choices: Iterable[str]) -> str:
        """A cell in lower case. Raises DataError for one that is none of the choices."""
        if cell.lower() not in choices:
            listed = ", ".join(choice for choice in choices if choice)
            raise self.table.fault(row, f"{column} must be one of {listed}, got {shown(cell)}")
        return cell.lower()

    def names(self, row: int, cell: str) -> tuple[str, ...]:
        """The names of the classes in a cell. Raises DataError for others, by line."""
        if self.target not in ("class", "multilabel"):
            raise self.table.fault(
                row, f"labels of type {self.target} cannot be replaced here; only drop works"
            )
        several = cell.split(SEPARATOR) if self.target == "multilabel" else [cell]
        return tuple(self.name(row, part.strip()) for part in several)

    def name(self, row: int, word: str) -> str:
        """The name of a class that is given by name or, where that is no name, by id."""
        for each in (word, plain_cell(word)):
            if (name := unicodedata.normalize("NFC", each)) in self.known:
                return self.known[name]
        if number_in(word, len(self.classes)):
            return self.classes[int(word)]
        hint = did_you_mean(word, list(self.classes))
        if word == "drop":
            hint = " A column named drop, with 1 in it, leaves an image out."
        raise self.table.fault(row, f"no class {shown(word)} among the {len(self.classes)}.{hint}")


def named_images(table: Table, folder: str | None, known: set[str]) -> list[str | int]:
    """The path or id of the image in each row. Raises DataError, by line, for an unknown path."""
    by_path = bool(known) and table.has("path")
    paths = table.column("path", SETTING) if by_path else [""] * len(table.rows)
    if not by_path and not table.has("id"):
        why = "path or id" if known else "id (those of this data set are not files)"
        raise table.fault(None, f"examples must be named in a column {why}")
    ids = table.column("id", SETTING) if table.has("id") else [""] * len(table.rows)
    return [
        find_path(table, row, path, folder, known) if path else find_id(table, row, number)
        for row, (path, number) in enumerate(zip(paths, ids, strict=True))
    ]


def find_path(table: Table, row: int, cell: str, folder: str | None, known: set[str]) -> str:
    """The key of the image that a cell names, relative to where we are or to the folder."""
    for path in (cell, plain_cell(cell)):
        for place in (path, os.path.join(folder or "", path)):  # noqa: PTH118
            if (key := key_of(place)) in known:
                return key
    raise table.fault(row, f"the data set has no image {shown(cell)}")


def find_id(table: Table, row: int, cell: str) -> int:
    """The number in a cell."""
    if not number_in(cell):
        raise table.fault(row, f"id must be a number, got {shown(cell) or 'none'}")
    return int(cell)


def number_in(cell: str, end: int | None = None) -> bool:
    """Whether a cell is a number from 0, below `end`."""
    known = cell.isdecimal() and len(cell) <= DIGITS
    return known and (end is None or int(cell) < end)


def key_of(path: str) -> str:
    """The absolute path, as the tables of `job=examples` can show it."""
    return printable(os.path.abspath(path))  # noqa: PTH100


def rows_of(split: Split) -> dict[str, int]:
    """The row of each image file by its key; none for images in memory."""
    paths = getattr(split.images, "paths", ())
    return {key_of(str(path)): row for row, path in enumerate(paths)}


def label_of(names: tuple[str, ...], classes: tuple[str, ...], labels: Tensor) -> Tensor:
    """The label of an example of the classes `names`, as a row of `labels`."""
    places = [classes.index(name) for name in names]
    if labels.ndim == 1:
        return torch.tensor(places[0])
    return torch.zeros(labels.shape[1], dtype=torch.bool).index_fill(0, torch.tensor(places), True)
