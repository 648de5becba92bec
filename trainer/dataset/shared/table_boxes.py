"""Boxes in the columns of a table: a row a box, any number of rows an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.table import Table
from trainer.dataset.shared.table_labels import YES, Labels, composed, ordered

SETTING = "dataset.box_columns"
CROWD = "crowd"  # a column with 0 or 1, if there is one


@dataclass(frozen=True)
class BoxTable:
    """A table with a row for each image, the first of each, and the boxes of each."""

    table: Table
    classes: tuple[str, ...]
    boxes: list[np.ndarray]  # [n, 5]: class from 1 (−c: a crowd), x0, y0, x1, y1

    @property
    def labels(self) -> Labels:
        """The classes, and boxes that are still to be placed in the images."""
        return Labels(self.classes, torch.zeros(len(self.boxes), 1, 5))


def box_table(table: Table, path: str, label: str, columns: Sequence[str]) -> BoxTable:
    """Gather the rows of each image. A row without a label and edges says that it has no box.

    Raises DataError, by line, for edges that are not numbers or in the wrong order, for a row with
    a part of a box, and where the rows of an image differ in another column.
    """
    labels = [composed(cell) for cell in table.column(label, "dataset.label_column")]
    classes = ordered(name for name in labels if name)
    number = {name: place for place, name in enumerate(classes, start=1)}
    edges = list(zip(*(table.column(name, SETTING) for name in columns), strict=True))
    crowds = table.column(CROWD, SETTING) if table.has(CROWD) else [""] * len(labels)
    of_box = {label, CROWD, *columns}
    places: dict[str, int] = {}  # image → its place among the images
    rows: list[int] = []
    boxes: list[list[list[float]]] = []
    for row, image in enumerate(table.column(path, "dataset.path_column")):
        if image not in places:
            places[image] = len(rows)
            rows.append(row)
            boxes.append([])
        check_same(table, rows[places[image]], row, of_box)
        if labels[row] or any(edges[row]):
            kind = number.get(labels[row], 0)
            sign = -1 if crowds[row].lower() in YES else 1
            boxes[places[image]].append([sign * kind, *box_of(table, row, kind, edges[row])])
    images = replace(
        table, rows=[table.rows[row] for row in rows], lines=[table.lines[row] for row in rows]
    )
    return BoxTable(images, classes, [np.array(own, float).reshape(-1, 5) for own in boxes])


def check_same(table: Table, first: int, row: int, of_box: set[str]) -> None:
    """Raise DataError where a row of an image differs from its first in what is of the image."""
    for name, one, other in zip(table.header, table.rows[first], table.rows[row], strict=True):
        of_image = name.casefold() in ("split", "group") and name not in of_box
        if of_image and one.strip() != other.strip():
            raise table.fault(
                row, f"column {name} differs from line {table.lines[first]}, of the same image"
            )


def box_of(table: Table, row: int, kind: int, cells: Sequence[str]) -> list[float]:
    """The edges of a box. Raises DataError by line."""
    if not kind:
        raise table.fault(row, "a box without a label")
    try:
        edges = [float(cell) for cell in cells]
    except ValueError as error:
        why = printable(str(error))
        raise table.fault(row, f"an edge of the box is not a number: {why}") from error
    x0, y0, x1, y1 = edges
    if not (all(map(math.isfinite, edges)) and x0 <= x1 and y0 <= y1):
        shown = ", ".join(map(printable, cells))
        raise table.fault(row, f"the edges [{shown}] are not x0 <= x1 and y0 <= y1")
    return edges
