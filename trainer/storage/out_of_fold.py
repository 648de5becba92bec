"""Predictions of examples by a run that was not trained on them, in `out_of_fold.csv`.

A run with `dataset.folds` writes those of its fold to its folder. A sweep over the folds pools them
in one file of its own, with two columns more: `run`, the folder below the sweep's, and `settings`,
the overrides that its runs have in common but for the fold.
"""

import csv
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainer.core.errors import CheckpointError, disk_error
from trainer.report.csv_file import short_lines, write_csv
from trainer.storage.untrusted import check_file

FILE = "out_of_fold.csv"
LARGEST = 2**32  # bytes
RUN, SETTINGS = "run", "settings"  # the columns that a sweep adds
COLUMNS = (RUN, SETTINGS, "id", "fold", "group", "loss", "label", "prediction", "p_y")
LOGIT, INTERSECTION, UNION = "logit_", "intersection_", "union_"  # followed by a class
ERRORS = ("absolute_error", "squared_error", "target", "target_variance")  # of a regression
UNFINISHED = ".unfinished"

Row = dict[str, str]


@dataclass
class Part:
    """The n rows of a run, without the probabilities of the classes."""

    rows: list[Row] = field(default_factory=list)
    numbers: dict[str, array] = field(default_factory=dict)  # [n] by column: see `of_class`, ERRORS

    def add(self, row: Row) -> None:
        """Take a row. Raises ValueError for a cell of `numbers` that is none."""
        self.rows.append({name: row[name] for name in COLUMNS if name in row})
        for name, cell in row.items():
            if name in ERRORS or name.startswith((LOGIT, INTERSECTION, UNION)):
                self.numbers.setdefault(name, array("f")).append(float(cell or math.nan))

    def of_class(self, prefix: str) -> dict[str, np.ndarray]:
        """The columns [n] of a prefix by class, in order; empty cells of another run's are none."""
        found = {
            name.removeprefix(prefix): np.array(values, np.float32)
            for name, values in self.numbers.items()
            if name.startswith(prefix)
        }
        return {name: values for name, values in found.items() if not np.isnan(values).all()}


@dataclass(frozen=True)
class OutOfFold:
    """The predictions of n examples, each by the run of its own fold."""

    ids: np.ndarray  # [n] dataset ids
    folds: np.ndarray  # [n] the fold that an example is in
    loss: np.ndarray  # [n]
    labels: list[str]  # [n] names of classes; empty for a task without
    predictions: list[str]  # [n] likewise
    p_y: np.ndarray  # [n] probability of the label; NaN for a task without classes

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "OutOfFold":
        """The predictions in rows. Raises ValueError or KeyError for rows that have none."""
        return cls(
            np.array([int(row["id"]) for row in rows], np.int64),
            np.array([int(row["fold"]) for row in rows], np.int64),
            np.array([float(row["loss"]) for row in rows]),
            [row.get("label", "") for row in rows],
            [row.get("prediction", "") for row in rows],
            np.array([float(row.get("p_y") or math.nan) for row in rows]),
        )


def write_rows(folder: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> Path:
    """Write the file to a folder, whole or not at all. Raises DiskError."""
    path, unfinished = folder / FILE, folder / (FILE + UNFINISHED)
    try:
        write_csv(unfinished, (row for part in ([header], rows) for row in part))
        unfinished.replace(path)
    except OSError as error:
        raise disk_error(error, path) from error
    return path


def read_rows(folder: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a folder's file as text by column, those of `columns` that it has, or all.

    Raises CheckpointError where it is damaged.
    """
    path = folder / FILE
    check_file(path, LARGEST)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(short_lines(file)):
                if None in row or None in row.values():
                    raise CheckpointError(f"{path} cannot be read: a row of another length")
                yield row if columns is None else {k: row[k] for k in columns if k in row}
    except (OSError, ValueError, csv.Error) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def read_parts(folder: Path) -> dict[str, Part]:
    """The rows of a folder's file by run, in one run's own file by "".

    Raises CheckpointError where it is damaged.
    """
    parts: dict[str, Part] = {}
    for row in read_rows(folder):
        try:
            parts.setdefault(row.get(RUN, ""), Part()).add(row)
        except ValueError as error:
            raise CheckpointError(f"{folder / FILE} cannot be read: {error}") from error
    return parts


def read(folder: Path) -> list[Row]:
    """The rows of a folder's file, without the probabilities of the classes.

    Raises CheckpointError where it is damaged.
    """
    return list(read_rows(folder, COLUMNS))


def pooled(run: Path) -> OutOfFold | None:
    """What the sweep of a run has pooled from it and the runs of its other folds.

    None where the run is of no sweep over folds. Raises CheckpointError for a damaged file.
    """
    if not (run.parent / FILE).exists():
        return None
    rows = read(run.parent)
    settings = next((row.get(SETTINGS) for row in rows if row.get(RUN) == run.name), None)
    if settings is None:
        return None
    return parsed(run.parent, [row for row in rows if row.get(SETTINGS) == settings])


def probabilities(run: Path, classes: Sequence[str]) -> np.ndarray | None:
    """The probabilities [n, C] of the classes, in the order of `pooled`; None if some have none."""
    names = [f"p_{name}" for name in classes]
    rows = list(read_rows(run.parent, [RUN, SETTINGS, *names]))
    settings = next((row.get(SETTINGS) for row in rows if row.get(RUN) == run.name), None)
    kept = [row for row in rows if row.get(SETTINGS) == settings]
    try:
        p = np.array([[float(row[name]) for name in names] for row in kept])
    except (ValueError, KeyError):
        return None
    return p if len(p) and np.isfinite(p).all() else None


def parsed(folder: Path, rows: Sequence[Row]) -> OutOfFold:
    """The predictions in rows of a folder's file. Raises CheckpointError where they are damaged."""
    try:
        return OutOfFold.of(rows)
    except (ValueError, KeyError, OverflowError) as error:
        raise CheckpointError(f"{folder / FILE} cannot be read: {error!r}") from error
