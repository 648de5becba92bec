"""Labels in the columns of a table, as classes or, several for an image, as bool [M, C]."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.suggest import did_you_mean
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.table import Table, shown

YES, NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


@dataclass(frozen=True)
class Labels:
    """The labels of M images, and the names of the classes."""

    classes: tuple[str, ...]
    labels: Tensor  # [M] class ids, or bool [M, C]

    def numbers(self, table: Table, cells: Sequence[str], column: str) -> Tensor:
        """The classes [M] that cells name. Raises DataError by line for one that is none."""
        number = {name: i for i, name in enumerate(self.classes)}
        found = [number.get(composed(cell), -1) for cell in cells]
        if -1 in found:
            raise unknown(table, found.index(-1), cells[found.index(-1)], column, self.classes)
        return torch.tensor(found, dtype=torch.int64)


def single(table: Table, column: str, train: np.ndarray, setting: str) -> Labels:
    """One class for each image; the classes are those of the training rows, bool [M].

    Raises DataError by line for a row without a label, or with one that no training row has, and
    for a single class.
    """
    cells = table.column(column, setting)
    if "" in cells:
        raise table.fault(cells.index(""), f"column {printable(column)} is empty")
    classes = ordered(composed(cell) for cell, used in zip(cells, train, strict=True) if used)
    if len(classes) == 1:
        raise DataError(
            f"{printable(table.path)}: every training row has the label {shown(classes[0])}; "
            "classification needs two classes or more"
        )
    empty = Labels(classes, torch.empty(0))
    return Labels(classes, empty.numbers(table, cells, column))


def with_separator(
    table: Table, column: str, separator: str, train: np.ndarray, setting: str
) -> Labels:
    """Any number of classes for each image, `dog;car`; an empty cell has none.

    Raises DataError by line for a class that no training row has.
    """
    cells = [
        [composed(part.strip()) for part in cell.split(separator) if part.strip()]
        for cell in table.column(column, setting)
    ]
    classes = ordered(name for row, used in zip(cells, train, strict=True) if used for name in row)
    if not classes:
        raise DataError(f"{printable(table.path)}: no row has a label in {printable(column)}")
    number = {name: i for i, name in enumerate(classes)}
    labels = torch.zeros(len(cells), len(classes), dtype=torch.bool)
    for row, names in enumerate(cells):
        for name in names:
            if name not in number:
                raise unknown(table, row, name, column, classes)
            labels[row, number[name]] = True
    return Labels(classes, labels)


def several_columns(table: Table, columns: Sequence[str], setting: str) -> Labels:
    """A 0 or 1 for each class in the column of its name. Raises DataError by line for others."""
    labels = torch.empty(len(table.rows), len(columns), dtype=torch.bool)
    for place, column in enumerate(columns):
        for row, cell in enumerate(table.column(column, setting)):
            if cell.lower() not in YES + NO:
                name = printable(column)
                raise table.fault(row, f"column {name} must be 0 or 1, got {shown(cell)!r}")
            labels[row, place] = cell.lower() in YES
    return Labels(tuple(map(composed, columns)), labels)


def composed(name: str) -> str:
    """A name in the composed form (NFC), however a Mac has stored it."""
    return unicodedata.normalize("NFC", name)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in order; of numbers, by value."""
    distinct = set(names)
    numeric = all(name.isascii() and name.isdecimal() for name in distinct)
    return tuple(sorted(distinct, key=lambda n: (int(n) if numeric else 0, n)))


def unknown(table: Table, row: int, word: str, column: str, classes: Sequence[str]) -> DataError:
    """The error for a label that is not a class of the training rows."""
    return table.fault(
        row,
        f"{printable(column)} is {shown(word)!r}, which no training row has as its label."
        f"{did_you_mean(word, classes)}",
    )
