"""Accuracy, or exact match, by group, such as by patient or by camera: the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.report.console import number, table
from trainer.report.csv_file import write_csv
from trainer.training.evaluate import accuracy_by_group, group_measure, worst_group

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.table import Table

    from trainer.training.evaluate import Evaluation

LISTED = 100  # groups of a split in result.json
SHOWN = 10  # on the console
HEADER = ["split", "group", "examples"]

Row = tuple[str, int, float]  # a group, its examples, their accuracy


def rows_of(evaluation: Evaluation, names: tuple[str, ...]) -> list[Row]:
    """Each group with its number of examples and accuracy, the worst first; [] without groups."""
    if not worst_group(evaluation.records):
        return []
    columns = (values.tolist() for values in accuracy_by_group(evaluation.records))
    rows = [(names[i], count, value) for i, value, count in zip(*columns, strict=True)]
    return sorted(rows, key=lambda row: row[2])


def result(
    evaluations: Mapping[str, Evaluation], names: tuple[str, ...]
) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """The worst groups of each split for result.json, at most 100; empty without groups."""
    found = {split: rows_of(evaluation, names) for split, evaluation in evaluations.items()}
    groups = {
        split: {
            name: {"examples": n, group_measure(evaluations[split].records): value}
            for name, n, value in rows[:LISTED]
        }
        for split, rows in found.items()
        if rows
    }
    return {"groups": groups} if groups else {}


def write(
    folder: Path, evaluations: Mapping[str, Evaluation], names: tuple[str, ...]
) -> list[Table]:
    """Write all groups to `groups.csv`, and return a table of the worst groups of each split."""
    found = {split: rows_of(evaluation, names) for split, evaluation in evaluations.items()}
    found = {split: rows for split, rows in found.items() if rows}
    if not found:
        return []
    lines = [[split, *row] for split, rows in found.items() for row in rows]
    header = [*HEADER, group_measure(evaluations[next(iter(found))].records)]
    write_csv(folder / "groups.csv", [header, *lines])
    tables = []
    for split, rows in found.items():
        few = f", the worst {SHOWN} of {len(rows):,}" if len(rows) > SHOWN else ""
        cells = [[name, str(n), number(value)] for name, n, value in rows[:SHOWN]]
        tables.append(table(f"{split} by group{few}", header[1:], cells))
    return tables
