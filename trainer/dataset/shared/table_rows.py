"""Columns of a table that say of each row its split, its group and its true label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.split_folders import NAMES, SPLIT_OF
from trainer.dataset.shared.table import shown

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.dataset.shared.table import Table
    from trainer.dataset.shared.table_labels import Labels

GROUP = "group"  # the column that group=auto means


def split_rows(table: Table, setting: str) -> dict[str, np.ndarray]:
    """Which rows are train, val and test, bool [M]; all are train without a column `split`.

    Raises DataError for another name, by line, and where no row is train.
    """
    cells = ["train"] * len(table.rows)
    if table.has("split"):
        cells = table.column("split", setting)
    for row, cell in enumerate(cells):
        if cell.lower() not in SPLIT_OF:
            raise table.fault(row, f"split must be train, val or test, got {shown(cell)!r}")
    of = np.array([SPLIT_OF[cell.lower()] for cell in cells])
    if not (of == "train").any():
        raise DataError(f"{printable(table.path)}: no row has train in the column split")
    return {name: of == name for name in NAMES}


def group_cells(table: Table, column: str | None) -> list[str] | None:
    """The cells of the column of groups; None without one. Raises DataError by line."""
    if column == "auto":
        column = GROUP if table.has(GROUP) else None
    if column is None:
        return None
    cells = table.column(column, "dataset.group")
    if "" in cells:
        raise table.fault(cells.index(""), f"column {printable(column)} is empty")
    return cells


def truth_of(table: Table, labels: Labels, setting: str) -> Tensor:
    """The true classes [M] by the column `true_label`. Raises DataError by line."""
    if labels.labels.ndim > 1:
        raise table.fault(None, "true_label needs one label for each image; rename that column")
    return labels.numbers(table, table.column("true_label", setting), "true_label")
