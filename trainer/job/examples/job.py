"""The hardest examples of a run, its suspected label errors, and copies in its data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PIL import Image

from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.core.ranges import within
from trainer.core.text import beginning
from trainer.history.objects import object_records
from trainer.history.pictures import pictures
from trainer.job.base import Job
from trainer.job.examples import boxes, copies
from trainer.job.shared.cutoff import Cutoff, checked
from trainer.job.shared.example_rows import measures, rows_of, write_rows
from trainer.job.shared.ranking import By, little_shared
from trainer.job.shared.suspected import Suspected, checked_window
from trainer.report.console import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from trainer.history.analysis import Suspects
    from trainer.history.confident_joint import LabelErrors
    from trainer.job.shared.example_rows import Row
    from trainer.job.shared.suspected import Examine, Ranked, SavedData
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

PAIRS = 5  # class pairs on the console
WIDEST = 40  # characters of a cell on the console


class Examples(Job):
    """Reads the difficulty stores of runs; writes `hardest.csv`, `suspects.csv`, `duplicates.csv`.

    Hard examples have a high mean loss over the `last` epochs of the (first) run.

    Labels are suspect by a score (see trainer.job.shared.ranking) over the epochs of `window`,
    parts of those up to the best: null is half to all of them, or every epoch if images have
    several labels. Of several runs, the mean rank counts. With `cutoff=estimated` as many are
    called suspect as there are errors by the confident joint; a number is a score, a percentage a
    share; `threshold_class`, and null, are rules (trainer.job.shared.cutoff). With
    `by=out_of_fold`, for a run of a sweep over dataset.fold, labels of all folds are judged by the
    model that has not seen them. A warning says where the model learned too little for suspects to
    mean much (trainer.history.evidence). Where labels are boxes, `objects.csv` has the objects with
    the highest mean loss over the `last` epochs, `forgotten.csv` those that were learned and lost
    again (trainer.history.objects), and `suspects.csv` boxes that are wrong, missing or loose by
    what the model finds (trainer.job.examples.objects); all have pictures. Tables
    show `number` examples; the files hold `rows`, or all suspects if they are more. `duplicates`
    looks for copies in all splits.
    """

    def __init__(
        self,
        *,
        number: int = 20,
        rows: int = 1000,
        last: int = 5,
        by: By = "auto",
        window: list[float] | None = None,
        cutoff: Cutoff = "estimated",
        duplicates: bool = True,
    ) -> None:
        within("job.number", number, "[1, inf)")
        within("job.rows", rows, "[1, inf)")
        within("job.last", last, "[1, inf)")
        self.number = number
        self.rows = rows
        self.last = last
        self.by: By = by
        self.window = checked_window(window)
        self.cutoff = checked(cutoff)
        self.duplicates = duplicates

    def __call__(
        self,
        *,
        saved: str | None,
        several_saved: list[str],
        saved_data: SavedData,
        examine: Examine,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Rank the examples, print the tables, write the files."""
        found = Suspected(saved, several_saved, saved_data, examine, self.by, self.window)
        suspects = None  # ranked before anything is written: a setting may not suit the runs
        if "logit_margin" in found.sources[0].whole.fields:
            suspects = found.ranked(self.rows, self.last, self.cutoff)
        else:
            self.refuse_scores(found.data.target)
        result = self.hardest(found, folder, console)
        if suspects is not None:
            result["suspects"] = self.suspected(found, suspects, folder, console)
        if found.data.target == "boxes":
            result["boxes"] = self.objects(found, folder, console)
        if self.duplicates:
            result["duplicates"] = self.copied(found, folder, console)
        console.say(f"run folder    {folder.path}")
        return result

    def refuse_scores(self, target: str) -> None:
        """Raise ConfigError for a setting of scores that labels of this kind do not have."""
        given = {"by": (self.by, "auto"), "window": (self.window, None)}
        for name, (value, default) in {**given, "cutoff": (self.cutoff, "estimated")}.items():
            if value != default:
                raise ConfigError(
                    f"job.{name}={value} is about labels that are classes, and these are {target}; "
                    "leave it out"
                )

    def hardest(self, found: Suspected, folder: RunFolder, console: Console) -> dict[str, Any]:
        """Write and show the hardest examples, and the pictures."""
        run, data, store = found.run, found.data, found.sources[0].whole
        images = pictures(store, data, self.last)
        if not images:
            raise DataError(f"{run} has no record of an unmixed example")
        for name, pixels in images.items():
            Image.fromarray(pixels).save(folder.path / f"{name}.png")
        values = measures(store, self.last)
        rows = rows_of(store, data, values, store.hardest(self.rows, self.last))
        console.say(self.table_of(rows, f"hardest of {run}", hidden="loss"))
        write_rows(folder.path / "hardest.csv", rows)
        return {"examples": len(store.ids), "epochs": store.epochs}

    def suspected(
        self, found: Suspected, ranked: Ranked, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Write and show the suspected label errors; return their summary."""
        suspects, rows, expected = ranked
        for each in little_shared(found.sources):
            console.warn(each)
        title = f"suspected label errors, by {found.by}"
        console.say(self.table_of(rows, title, hidden="last_loss"))
        write_rows(folder.path / "suspects.csv", rows)
        summary = summary_of(found.by, suspects, expected, found.data.classes)
        console.say(sentence(summary))
        if expected is not None:
            console.say(expectation(summary))
        if found.by != "out_of_fold":
            summary["window"] = list(found.sources[0].epochs)
            evidence = found.evidence(suspects)
            if evidence is not None:
                summary["evidence"] = evidence.record()
            if evidence is not None and evidence.thin:
                console.warn(evidence.sentence())
        return summary

    def objects(self, found: Suspected, folder: RunFolder, console: Console) -> dict[str, Any]:
        """Write and show the hard and the forgotten objects and, with a model, suspect boxes."""
        records = object_records(found.sources[0].whole, self.last)
        try:
            seen = found.look()["train"]
        except CheckpointError as error:
            console.warn(f"suspect boxes are not looked for: {error}")
            seen = None
        files = boxes.ObjectFiles(found.data, records, seen)
        rows = files.write_objects(folder.path, "objects", records.hardest()[: self.rows])
        lost = files.write_objects(folder.path, "forgotten", records.forgotten()[: self.rows])
        console.say(self.table_of(rows, "hardest objects", hidden="loss"))
        console.say(boxes.forgotten_sentence(records))
        summary = {"objects": len(rows), "forgotten": len(lost), "lost": int(records.lost().sum())}
        if seen is None:
            return summary | {"suspects": None}
        suspects = files.write_suspects(folder.path, self.rows)
        console.say(self.table_of(suspects, "suspect boxes", hidden=""))
        console.say(boxes.sentence(suspects))
        return summary | {"suspects": len(suspects)}

    def copied(
        self, found: Suspected, folder: RunFolder, console: Console
    ) -> dict[str, Any] | None:
        """Write and show the copies; null where the run has no model to look with."""
        try:
            examined = found.look()
        except CheckpointError as error:
            console.warn(f"copies are not looked for: {error}")
            return None
        rows = copies.found_copies(examined, found.data)
        if rows:
            console.say(self.table_of(rows, "copies", hidden=""))
        write_rows(folder.path / "duplicates.csv", rows)
        console.say(copies.sentence(rows))
        return copies.counted(rows)

    def table_of(self, rows: list[Row], title: str, *, hidden: str) -> Table:
        """Make a console table of the first rows, without `hidden` and the widest columns."""
        wide = (hidden, "forgotten", "lately", "path", "other_path", "other_text", *boxes.WIDE)
        shown = [column for column in rows[0] if column not in wide] if rows else ["rank"]
        first = rows[: self.number]
        cells = [[beginning(row[column], WIDEST) for column in shown] for row in first]
        return table(title, shown, cells)


def summary_of(
    by: str, suspects: Suspects, expected: LabelErrors | None, classes: Sequence[str]
) -> dict[str, Any]:
    """Summarise the suspects for result.json; null for what is not known."""
    precision, recall = suspects.precision_recall(suspects.flagged)
    numbers = {
        "cutoff": suspects.cutoff,
        "precision": precision,
        "recall": recall,
        "precision_at_errors": suspects.precision_recall(suspects.errors)[0],
    }
    pairs = () if expected is None else expected.pairs()
    return {
        "by": by,
        "flagged": suspects.flagged,
        "errors": None if suspects.wrong is None else suspects.errors,
        "expected_errors": None if expected is None else expected.total,
        "expected_pairs": [
            {"class": classes[true], "taken_for": classes[label], "number": number}
            for true, label, number in pairs
        ],
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
    }


def sentence(summary: dict[str, Any]) -> str:
    """Format the summary of the suspects for the console."""
    limit = "none" if summary["cutoff"] is None else format(summary["cutoff"], ".4g")
    line = f"{summary['flagged']} labels are suspect ({summary['by']} cut-off {limit})"
    if summary["errors"]:
        line += f"; {summary['errors']} are wrong"
        for name in ("precision", "recall", "precision_at_errors"):
            if summary[name] is not None:
                line += f", {name.replace('_at_', ' at the number of ')} {summary[name]:.4f}"
    return line


def expectation(summary: dict[str, Any]) -> str:
    """Format how many errors are expected, and the most frequent of them."""
    line = f"{summary['expected_errors']} wrong labels are expected"
    pairs = [
        f"{p['class']} taken for {p['taken_for']}: {p['number']}"
        for p in summary["expected_pairs"][:PAIRS]
    ]
    return line + (f": {', '.join(pairs)}" if pairs else "")
