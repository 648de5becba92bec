"""The hardest examples of a run, and its suspected label errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from trainer import history
from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.core.text import listed
from trainer.dataset.shared.decode import printable
from trainer.history.analysis import By, History, Suspects
from trainer.history.evidence import evidence_of
from trainer.history.pictures import class_name, pictures
from trainer.job.base import Job
from trainer.job.shared import out_of_fold
from trainer.report.console import table
from trainer.report.csv_file import write_csv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.table import Table

    from trainer.dataset import Data
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

Row = dict[str, str]
LATELY = {0.0: "wrong", 1.0: "right"}  # by the field `correct`


class Examples(Job):
    """Reads the difficulty store of `run`; writes `hardest.csv`, `suspects.csv` and pictures.

    Hard examples have a high mean loss over the `last` epochs. Labels are suspect if their AUM
    is at most `cutoff` or, with `by=loss`, their mean loss at least that. AUM, the area under the
    margin, is the mean over epochs of the label's logit minus the largest other one. Without a
    `cutoff`, the threshold class sets it if there is one. With `by=out_of_fold`, for a run of a
    sweep over dataset.fold, labels of all folds are suspect to which the model that has not seen
    them gives at most the probability `cutoff`. A warning says where the model learned too little
    for suspects to mean much (trainer.history.evidence). Tables show `number` examples; the files
    hold `rows`, or all suspects if they are more.
    """

    def __init__(
        self,
        *,
        number: int = 20,
        rows: int = 1000,
        last: int = 5,
        by: By | Literal["out_of_fold"] = "aum",
        cutoff: float | None = None,
    ) -> None:
        within("job.number", number, "[1, inf)")
        within("job.rows", rows, "[1, inf)")
        within("job.last", last, "[1, inf)")
        self.number = number
        self.rows = rows
        self.last = last
        self.by: By | Literal["out_of_fold"] = by
        self.cutoff = cutoff

    def __call__(
        self,
        *,
        saved: str | None,
        saved_data: Callable[[str | None, str], tuple[Path, Data]],
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Rank the examples, print the tables, write the files."""
        run, data = saved_data(saved, "run")
        store = history.open(run)
        store.check_split(data.train.ids.numpy(), data.train.labels.numpy())
        images = pictures(store, data, self.last)
        if not images:
            raise DataError(f"{run} has no record of an unmixed example")
        for name, pixels in images.items():
            Image.fromarray(pixels).save(folder.path / f"{name}.png")
        values = measures(store, self.last)
        rows = rows_of(store, data, values, store.hardest(self.rows, self.last))
        console.say(self.table_of(rows, f"hardest of {run}", hidden="loss"))
        write_rows(folder.path / "hardest.csv", rows)
        result: dict[str, Any] = {"examples": len(store.ids), "epochs": store.epochs}
        if "logit_margin" in store.fields:
            suspects, rows = self.suspected(run, store, data, values)
            title = f"suspected label errors, by {self.by}"
            console.say(self.table_of(rows, title, hidden="last_loss"))
            write_rows(folder.path / "suspects.csv", rows)
            result["suspects"] = self.summary(suspects)
            console.say(sentence(result["suspects"]))
            evidence = None if self.by == "out_of_fold" else evidence_of(store, suspects)
            if evidence is not None:
                result["suspects"]["evidence"] = evidence.record()
            if evidence is not None and evidence.thin:
                console.warn(evidence.sentence())
        console.say(f"run folder    {folder.path}")
        return result

    def suspected(
        self, run: Path, store: History, data: Data, values: dict[str, np.ndarray]
    ) -> tuple[Suspects, list[Row]]:
        """Return the suspects, and a row for each of the first."""
        if self.by == "out_of_fold":
            return out_of_fold.suspects(run, data, self.cutoff, self.rows)
        suspects = store.suspects(self.by, self.cutoff)
        ids = suspects.ids[: max(self.rows, suspects.flagged)]
        return suspects, rows_of(store, data, values, ids)

    def table_of(self, rows: list[Row], title: str, *, hidden: str) -> Table:
        """Make a console table of the first rows, without `hidden` and the widest columns."""
        wide = (hidden, "forgotten", "lately", "path")
        shown = [column for column in rows[0] if column not in wide] if rows else ["rank"]
        cells = [[row[column] for column in shown] for row in rows[: self.number]]
        return table(title, shown, cells)

    def summary(self, suspects: Suspects) -> dict[str, Any]:
        """Summarise the suspects for result.json; null if the true labels are not known."""
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
    """Format the summary of the suspects for the console."""
    line = "{flagged} labels are suspect ({by} cut-off {cutoff:.4g})".format(**summary)
    if summary["errors"]:
        line += "; {errors} are wrong".format(**summary)
        for name in ("precision", "recall", "precision_at_errors"):
            if summary[name] is not None:
                line += f", {name.replace('_at_', ' at the number of ')} {summary[name]:.4f}"
    return line


def measures(store: History, last: int) -> dict[str, np.ndarray]:
    """Return mean losses, and p_y and AUM if the task records them, as [n] by column."""
    columns = {"loss": store.mean("loss"), "last_loss": store.mean("loss", last)}
    for column, field in {"p_y": "confidence", "aum": "logit_margin"}.items():
        if field in store.fields:
            columns[column] = store.mean(field)
    return columns


def rows_of(
    store: History, data: Data, values: dict[str, np.ndarray], ids: np.ndarray
) -> list[Row]:
    """Return a row for each of the dataset ids [k], with every value as text."""
    places = store.positions_of(ids)
    columns: dict[str, Sequence[str]] = {
        "rank": [str(rank + 1) for rank in range(len(ids))],
        "id": [str(i) for i in ids],
    }
    if store.labels is not None and "prediction" in store.fields:
        forgetting = store.forgetting()
        columns["label"] = class_names(data, store.labels[ids])
        if store.true_labels is not None:
            columns["true_label"] = class_names(data, store.true_labels[ids])
        if store.given_labels is not None:
            columns["given_label"] = class_names(data, store.given_labels[ids])
        columns["prediction"] = class_names(data, store.latest("prediction")[places])
        right = store.latest("correct")[places]
        columns["lately"] = [LATELY.get(value, "") for value in right.tolist()]
        columns["forgotten"] = [
            str(forgetting.events[place]) if forgetting.learned[place] else "unlearned"
            for place in places
        ]
    if store.labels is not None and "doubt" in store.fields:  # several labels
        columns["label"] = listed(data.classes, store.labels[ids].tolist())
        columns["doubt"] = class_names(data, store.latest("doubt")[places])
    for name, numbers in values.items():
        columns[name] = [f"{number:.3f}" for number in numbers[places]]
    paths = getattr(data.train.images, "paths", None)
    if paths is not None:
        columns["path"] = [printable(paths[i]) for i in ids]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def class_names(data: Data, classes: np.ndarray) -> list[str]:
    """Return the names of class indices [k], empty where the index is NaN."""
    return [class_name(data.classes, c) for c in classes]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the rows as CSV with a header."""
    write_csv(path, [list(rows[0]) if rows else ["rank"], *(row.values() for row in rows)])
