"""The hardest examples of a run, and the labels that are probably wrong."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trainer import history
from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.history.analysis import By, History, Suspects
from trainer.history.pictures import pictures
from trainer.job.base import Job
from trainer.report.console import table
from trainer.storage.saved_run import SavedRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.run.run import Run

Row = dict[str, str]


class Examples(Job):
    """Reads the difficulty store of `run`; writes `hardest.csv`, `suspects.csv` and pictures.

    Hard is a high mean loss in the `last` epochs. Labels are suspected by their AUM or their mean
    loss (`by`), up to `cutoff`: null takes it from the threshold class, where there is one. The
    tables show `number` examples, the files `rows` or all the suspects.
    """

    def __init__(
        self,
        *,
        number: int = 20,
        rows: int = 1000,
        last: int = 5,
        by: By = "aum",
        cutoff: float | None = None,
    ) -> None:
        within("job.number", number, "[1, inf)")
        within("job.rows", rows, "[1, inf)")
        within("job.last", last, "[1, inf)")
        self.number = number
        self.rows = rows
        self.last = last
        self.by: By = by
        self.cutoff = cutoff

    def __call__(self, run: Run) -> dict[str, Any]:
        """Rank, print, write."""
        source = SavedRun.at(run.config["run"])
        held = history.open(source.folder)
        data = run.like(source).data
        held.check_split(data.train.ids.numpy(), data.train.labels.numpy())
        made = pictures(held, data, self.last)
        if not made:
            raise DataError(f"{source.folder} has no record of an example that was not mixed")
        for name, pixels in made.items():
            Image.fromarray(pixels).save(run.folder.path / f"{name}.png")
        values = measures(held, self.last)
        rows = rows_of(held, data, values, held.hardest(self.rows, self.last))
        self.write(run, "hardest", f"hardest of {source.folder}", "loss", rows)
        result: dict[str, Any] = {"examples": len(held.ids), "epochs": held.epochs}
        if "logit_margin" in held.fields:
            suspects = held.suspects(self.by, self.cutoff)
            ids = suspects.ids[: max(self.rows, suspects.flagged)]
            title = f"suspected label errors, by {self.by}"
            self.write(run, "suspects", title, "last_loss", rows_of(held, data, values, ids))
            result["suspects"] = self.summary(suspects)
            run.console.say(sentence(result["suspects"]))
        run.console.say(f"run folder    {run.folder.path}")
        return result

    def write(self, run: Run, name: str, title: str, hidden: str, rows: list[Row]) -> None:
        """The first rows as a table, without what is too wide for it, and `<name>.csv`."""
        wide = (hidden, "forgotten", "path")
        shown = [column for column in rows[0] if column not in wide] if rows else ["rank"]
        cells = [[row[column] for column in shown] for row in rows[: self.number]]
        run.console.say(table(title, shown, cells))
        write_csv(run.folder.path / f"{name}.csv", rows)

    def summary(self, suspects: Suspects) -> dict[str, Any]:
        """What result.json says of the suspects; null where the true labels are not known."""
        precision, recall = suspects.precision_recall(suspects.flagged)
        numbers = {
            "precision": precision,
            "recall": recall,
            "precision_at_errors": suspects.precision_recall(suspects.errors)[0],
        }
        return {
            "by": self.by,
            "cutoff": suspects.cutoff,
            "flagged": suspects.flagged,
            "errors": None if suspects.wrong is None else suspects.errors,
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        }


def sentence(summary: dict[str, Any]) -> str:
    """The summary in words."""
    line = "{flagged} labels are suspect ({by} cut-off {cutoff:.4g})".format(**summary)
    if summary["errors"]:
        line += "; {errors} are wrong".format(**summary)
        for name in ("precision", "recall", "precision_at_errors"):
            if summary[name] is not None:
                line += f", {name.replace('_at_', ' at the number of ')} {summary[name]:.4f}"
    return line


def measures(held: History, last: int) -> dict[str, np.ndarray]:
    """Numbers [n] of each example by column; those that the task records."""
    columns = {"loss": held.mean("loss"), "last_loss": held.mean("loss", last)}
    for column, field in {"p_y": "confidence", "aum": "logit_margin"}.items():
        if field in held.fields:
            columns[column] = held.mean(field)
    return columns


def rows_of(held: History, data: Data, values: dict[str, np.ndarray], ids: np.ndarray) -> list[Row]:
    """A row for each of the examples ids [k], every value as text."""
    places = held.positions_of(ids)
    columns: dict[str, Sequence[str]] = {
        "rank": [str(rank + 1) for rank in range(len(ids))],
        "id": [str(i) for i in ids],
    }
    if held.labels is not None and "prediction" in held.fields:
        forgetting = held.forgetting()
        columns["label"] = names(data, held.labels[ids])
        if held.true_labels is not None:
            columns["true_label"] = names(data, held.true_labels[ids])
        columns["prediction"] = names(data, held.latest("prediction")[places])
        columns["forgotten"] = [
            str(forgetting.events[place]) if forgetting.learned[place] else "unlearned"
            for place in places
        ]
    for name, numbers in values.items():
        columns[name] = [f"{number:.3f}" for number in numbers[places]]
    paths = getattr(data.train.images, "paths", None)
    if paths is not None:
        columns["path"] = [str(paths[i]) for i in ids]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def names(data: Data, classes: np.ndarray) -> list[str]:
    """Names of classes [k]; empty where one is NaN."""
    return ["" if np.isnan(c) else data.classes[int(c)] for c in classes]


def write_csv(path: Path, rows: list[Row]) -> None:
    """A CSV file with a header."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["rank"])
        writer.writeheader()
        writer.writerows(rows)
