"""The hardest examples of a run, its suspected label errors, and copies in its data."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trainer.core.errors import CheckpointError, ConfigError, DataError
from trainer.core.ranges import within
from trainer.history.dynamics import expected_errors
from trainer.history.evidence import evidence_of
from trainer.history.pictures import pictures
from trainer.job.base import Job
from trainer.job.examples import copies
from trainer.job.examples.ranking import By, Source, check_alike, scored, source_of
from trainer.job.examples.tables import measures, rows_of, with_suggestions, write_rows
from trainer.job.shared import out_of_fold
from trainer.job.shared.cutoff import Cutoff, checked, select
from trainer.report.console import table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.table import Table

    from trainer.dataset import Data
    from trainer.history.analysis import Suspects
    from trainer.history.confident_joint import LabelErrors
    from trainer.job.examples.tables import Row
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.trained.examined import Examined

    Examine = Callable[[str | None, str, Sequence[str]], dict[str, Examined]]

PAIRS = 5  # class pairs on the console


class Examples(Job):
    """Reads the difficulty stores of runs; writes `hardest.csv`, `suspects.csv`, `duplicates.csv`.

    Hard examples have a high mean loss over the `last` epochs of the (first) run.

    Labels are suspect by a score (see trainer.job.examples.ranking) over the epochs of `window`,
    parts of those up to the best: null is half to all of them, or every epoch if images have
    several labels. Of several runs, the mean rank counts. With `cutoff=estimated` as many are
    called suspect as there are errors by the confident joint; a number is a score, a percentage a
    share; `threshold_class`, and null, are rules (trainer.job.shared.cutoff). With
    `by=out_of_fold`, for a run of a sweep over dataset.fold, labels of all folds are judged by the
    model that has not seen them. A warning says where the model learned too little for suspects to
    mean much (trainer.history.evidence). Tables show `number` examples; the files hold `rows`, or
    all suspects if they are more. `duplicates` looks for copies in all splits.
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
        if window is not None and not (len(window) == 2 and 0 <= window[0] < window[1] <= 1):
            raise ValueError(f"job.window must be [a, b] with 0 <= a < b <= 1, got {window}")
        self.number = number
        self.rows = rows
        self.last = last
        self.by: By = by
        self.window = window
        self.cutoff = checked(cutoff)
        self.duplicates = duplicates

    def __call__(
        self,
        *,
        saved: str | None,
        several_saved: list[str],
        saved_data: Callable[[str | None, str], tuple[Path, Data]],
        examine: Examine,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Rank the examples, print the tables, write the files."""
        setting = "runs" if several_saved else "run"
        if saved is not None and several_saved:
            raise ConfigError("set either run, for one run, or runs, for several, but not both")
        references = several_saved or [saved]
        opened = [saved_data(reference, setting) for reference in references]
        run, data = opened[0]
        looks = [cache(partial(examine, reference, setting)) for reference in references]
        sources = [
            source_of(path, str(path), self.window, partial(training_split, look))
            for (path, _), look in zip(opened, looks, strict=True)
        ]
        first = sources[0]
        first.whole.check_split(data.train.ids.numpy(), data.train.labels.numpy())
        check_alike(sources)
        result = self.hardest(run, first, data, folder, console)
        if "logit_margin" in first.whole.fields:
            result["suspects"] = self.suspected(run, sources, data, folder, console)
        if self.duplicates:
            result["duplicates"] = self.copied(looks[0], data, folder, console)
        console.say(f"run folder    {folder.path}")
        return result

    def hardest(
        self, run: Path, source: Source, data: Data, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Write and show the hardest examples, and the pictures."""
        store = source.whole
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
        self, run: Path, sources: list[Source], data: Data, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Write and show the suspected label errors; return their summary."""
        by = self.by
        if by == "auto":
            by = "aum" if data.target == "multilabel" else "combined"
        if by == "out_of_fold":
            if len(sources) > 1:
                raise ConfigError("job.by=out_of_fold needs one run of a sweep over dataset.fold")
            suspects, rows, expected = out_of_fold.suspects(run, data, self.cutoff, self.rows)
        else:
            suspects, rows, expected = self.ranked(by, sources, data)
        console.say(self.table_of(rows, f"suspected label errors, by {by}", hidden="last_loss"))
        write_rows(folder.path / "suspects.csv", rows)
        summary = summary_of(by, suspects, expected, data.classes)
        console.say(sentence(summary))
        if expected is not None:
            console.say(expectation(summary))
        if by != "out_of_fold":
            summary["window"] = list(sources[0].epochs)
            evidence = evidence_of(sources[0].whole, suspects)
            if evidence is not None:
                summary["evidence"] = evidence.record()
            if evidence is not None and evidence.thin:
                console.warn(evidence.sentence())
        return summary

    def ranked(
        self, by: str, sources: list[Source], data: Data
    ) -> tuple[Suspects, list[Row], LabelErrors | None]:
        """Rank by a score: the suspects, a row for each of the first, the errors expected."""
        store, stores = sources[0].store, [source.store for source in sources]
        several = data.target == "multilabel"
        if several and by not in ("aum", "loss"):
            raise ConfigError(f"job.by={by} needs one class per image; take job.by=aum or loss")
        scores = scored(sources, by)
        expected = None if several else expected_errors(stores, scores.ids, len(data.classes))
        suspects = select(scores, self.cutoff, expected)
        count = max(self.rows, suspects.flagged)
        ids = suspects.ids[:count]
        values = measures(store, self.last)
        if by not in values or len(sources) > 1:
            name = by if len(sources) == 1 and by != "combined" else "mean_rank"
            by_id = np.full(store.size, np.nan)
            by_id[suspects.ids] = suspects.values
            values[name] = by_id[store.ids]
        rows = rows_of(store, data, values, ids)
        return suspects, rows if several else with_suggestions(rows, stores, data, ids), expected

    def copied(
        self,
        look: Callable[[tuple[str, ...]], dict[str, Examined]],
        data: Data,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any] | None:
        """Write and show the copies; null where the run has no model to look with."""
        try:
            examined = look(("train", "val", "test"))
        except CheckpointError as error:
            console.warn(f"copies are not looked for: {error}")
            return None
        rows = copies.found_copies(examined, data)
        if rows:
            console.say(self.table_of(rows, "copies", hidden=""))
        write_rows(folder.path / "duplicates.csv", rows)
        console.say(copies.sentence(rows))
        return copies.counted(rows)

    def table_of(self, rows: list[Row], title: str, *, hidden: str) -> Table:
        """Make a console table of the first rows, without `hidden` and the widest columns."""
        wide = (hidden, "forgotten", "lately", "path", "other_path")
        shown = [column for column in rows[0] if column not in wide] if rows else ["rank"]
        cells = [[row[column] for column in shown] for row in rows[: self.number]]
        return table(title, shown, cells)


def training_split(look: Callable[[tuple[str, ...]], dict[str, Examined]]) -> Examined:
    """The training split, looked at together with the others, once."""
    return look(("train", "val", "test"))["train"]


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
