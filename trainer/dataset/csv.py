"""Images and labels in a table: a row an image, or a row a box."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.box_files import placed
from trainer.dataset.shared.class_subset import class_id
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.file_dataset import FileDataset
from trainer.dataset.shared.groups import numbered
from trainer.dataset.shared.split_folders import NAMES
from trainer.dataset.shared.table import Table, read_table
from trainer.dataset.shared.table_boxes import box_table
from trainer.dataset.shared.table_labels import Labels, several_columns, single, with_separator
from trainer.dataset.shared.table_rows import group_cells, split_rows, truth_of

SETTING = "dataset.file"
LISTED = 10  # missing files


@dataclass(kw_only=True)
class Csv(FileDataset):
    """The images that `file` lists, a row an image, with commas, semicolons or tabs between cells.

    `path_column` has the image's file, below `root` (null: the folder of the table) or absolute.
    `label_column` has its class. With a `label_separator`, such as `;`, it has any number of them;
    a list of columns has a 0 or 1 for each class. Both make multi-label data, bool [M, C].

    A column `split` with train, val and test, or usual names for them, divides the rows; without it
    the splits are cut as for any data set. A column `true_label` has the class that is right where
    `label_column` is known to be wrong at times; it is used in reports alone. `group` is the column
    whose groups, such as patients, each stay in one split: `auto` is the column `group` if there is
    one, null none.

    With `box_columns`, the columns of x0, y0, x1, y1 in pixels of the stored image, a row is a box
    with the class in `label_column`, and an image has any number of rows: a row without a label and
    edges says that it has none. A column `crowd` with 1 marks regions with a crowd.

    All images are one source: the dataset id of an example is its row, counted from 0 without the
    rows left out by `corrupt=skip` or `classes`. `size`, `channels`, `background`, `corrupt` and
    `cache` are as for image_folder.
    """

    file: str = "labels.csv"
    root: str | None = None
    path_column: str = "path"
    label_column: str | list[str] = "label"
    label_separator: str | None = None
    box_columns: list[str] | None = None
    max_boxes: int = 100
    group: str | None = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("dataset.max_boxes", self.max_boxes, "[1, inf)")
        if self.box_columns is not None:
            self.check_box_columns(self.box_columns)
        if self.label_column == []:
            raise ValueError("dataset.label_column must name a column, got []")
        if self.label_separator == "":
            raise ValueError("dataset.label_separator must have a character; null: one label")
        if self.label_separator is not None and isinstance(self.label_column, list):
            raise ValueError(
                f"dataset.label_separator={self.label_separator} is for labels in one column, but "
                f"dataset.label_column lists {len(self.label_column)}"
            )

    def check_box_columns(self, columns: list[str]) -> None:
        """Raise ValueError for other than four columns, and for several labels a row."""
        if len(set(columns)) != 4 or len(columns) != 4:
            raise ValueError(
                f"dataset.box_columns must name four columns, [x0,y0,x1,y1], got {columns}"
            )
        if self.label_separator is not None or isinstance(self.label_column, list):
            raise ValueError(
                "dataset.box_columns needs the class of a box in one column: set "
                "dataset.label_separator=null and dataset.label_column to its name"
            )

    @property
    def boxed(self) -> bool:
        """Whether the labels are boxes."""
        return self.box_columns is not None

    @property
    def folder(self) -> str:
        """The folder that the paths are relative to."""
        return str(Path(self.file).parent) if self.root is None else self.root

    @property
    def label_columns(self) -> list[str]:
        """The columns that have labels."""
        return [self.label_column] if isinstance(self.label_column, str) else self.label_column

    def load(self) -> Raw:
        """Read the table and find the files. Raises DataError, by line, for what is wrong."""
        table = read_table(self.file, SETTING, [self.path_column, *self.label_columns])
        boxes = None
        if self.box_columns is not None:
            boxes = box_table(table, self.path_column, self.label_columns[0], self.box_columns)
            table = boxes.table
        paths = self.paths(table)
        splits = split_rows(table, SETTING)
        labels = boxes.labels if boxes else self.labels(table, splits["train"])
        names, groups = self.groups(table)
        wanted = self.wanted(labels)
        size = self.image_size([path for path, read in zip(paths, wanted, strict=True) if read])
        images, kept = self.images_of(paths, wanted, size)
        keep, notes = torch.from_numpy(kept), ()
        kept_labels = labels.labels[keep]
        if boxes is not None:
            kept_labels, notes = placed(list(compress(boxes.boxes, kept)), images, self.max_boxes)
        whole = Split(
            images,
            kept_labels,
            torch.arange(len(images)),
            None if groups is None else groups[keep],
            truth_of(table, labels, SETTING)[keep] if table.has("true_label") else None,
        )
        parts = {
            name: replace(whole, ids=whole.ids[torch.from_numpy(rows)[keep]])
            for name, rows in splits.items()
            if rows.any()
        }
        train, val, test = (parts.get(name) for name in NAMES)
        assert train is not None  # noqa: S101  (split_rows)
        about = {"val": val, "groups": names, "notes": notes, "decided": self.decided(size)}
        return Raw(train, test, labels.classes, **about)

    def paths(self, table: Table) -> list[str]:
        """The files. Raises DataError listing those that are missing, or a row without or again."""
        cells = table.column(self.path_column, "dataset.path_column")
        paths = [find(self.folder, cell) for cell in cells]
        missing = [row for row, path in enumerate(paths) if path is None]
        first: dict[str | None, int] = {}
        for row, cell in enumerate(cells):
            if not cell:
                raise table.fault(row, f"column {printable(self.path_column)} is empty")
            if paths[row] is not None and first.setdefault(paths[row], row) != row:
                line = table.lines[first[paths[row]]]
                raise table.fault(
                    row,
                    f"{printable(cell)} is in line {line}, too; give each image one row, and for "
                    "several labels see dataset.label_separator",
                )
        if missing:
            raise missing_files(table, self.folder, cells, missing)
        return [path for path in paths if path is not None]

    def labels(self, table: Table, train: np.ndarray) -> Labels:
        """The labels and classes; those of the training rows, bool [M]. Raises DataError."""
        setting = "dataset.label_column"
        if isinstance(self.label_column, list):
            return several_columns(table, self.label_column, setting)
        if self.label_separator is not None:
            return with_separator(table, self.label_column, self.label_separator, train, setting)
        return single(table, self.label_column, train, setting)

    def wanted(self, labels: Labels) -> np.ndarray:
        """Which files are read, bool [M]: those of `classes`, if some are chosen."""
        if self.classes is None or labels.labels.ndim > 1:
            return np.ones(len(labels.labels), bool)
        return np.isin(labels.labels, [class_id(item, labels.classes) for item in self.classes])

    def groups(self, table: Table) -> tuple[tuple[str, ...], Tensor | None]:
        """The names of the groups, and the group [M] of each row. Raises DataError by line."""
        cells = group_cells(table, self.group)
        if cells is None:
            return (), None
        names, (groups,) = numbered(cells)
        return names, groups


def find(folder: str, cell: str) -> str | None:
    r"""The file that a cell names; None if there is none. `a\b.png` of Windows is a/b.png, too."""
    for name in (cell, cell.replace("\\", "/")):
        path = os.path.join(folder, name)  # noqa: PTH118  (a Path for each of many would be slow)
        if os.path.isfile(path):  # noqa: PTH113
            return path
    return None


def missing_files(
    table: Table, folder: str, cells: Sequence[str], missing: Sequence[int]
) -> DataError:
    """The error that lists the first missing files."""
    first = ", ".join(f"{printable(cells[i])} (line {table.lines[i]})" for i in missing[:LISTED])
    more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
    verb = "is" if len(missing) == 1 else "are"
    return DataError(
        f"{len(missing)} of {count(len(cells), 'file')} that {printable(table.path)} names "
        f"{verb} missing below {printable(folder)}: {first}{more}; "
        "set dataset.root to the folder that the paths start from"
    )
