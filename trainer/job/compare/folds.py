"""The runs of all folds as one run, measured on the examples that each has held out.

Folds share most of their training examples and are no repetitions of each other: they are pooled,
and seeds are what a comparison counts. Test metrics are means over the folds' models, and costs are
sums. Val metrics are means weighted by the sizes of the folds; accuracy, balanced accuracy and loss
are those of all out-of-fold predictions together, as the sweep has pooled them.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.errors import CheckpointError
from trainer.core.number import finite
from trainer.job.compare.groups import dotted
from trainer.job.compare.runs import NUMBERS, FinishedRun, SkippedRun
from trainer.storage.out_of_fold import RUN, OutOfFold, Row, parsed, read

FOLD = "dataset.fold"
COSTS = {*NUMBERS, "forward_passes", "step", "epoch"}  # also in the lines of metrics.jsonl
PER_FOLD = {"epochs", "epoch"}  # the same in every fold: not added up

Run = FinishedRun | SkippedRun


def pool_folds(runs: Sequence[Run]) -> list[Run]:
    """The runs, with those that differ in dataset.fold alone as one, at the place of the first.

    Runs that lack a fold, or whose predictions cannot be read, are left out.
    """
    sets: dict[tuple[tuple[str, str], ...], dict[int, FinishedRun]] = {}
    pooled: list[Run | tuple[tuple[str, str], ...]] = []
    for run in runs:
        fold = fold_of(run) if isinstance(run, FinishedRun) else None
        if fold is None or isinstance(run, SkippedRun):
            pooled.append(run)
            continue
        key = tuple(sorted(dotted(run.config, {FOLD, "compare"})))
        if key not in sets:
            pooled.append(key)
        if fold in sets.setdefault(key, {}):
            pooled.append(SkippedRun(run.folder, f"repeats {sets[key][fold].folder}"))
        else:
            sets[key][fold] = run
    files = Files()
    found: list[Run] = []
    for item in pooled:
        found += of_folds(sets[item], files) if isinstance(item, tuple) else [item]
    return found


def data_of(run: FinishedRun) -> dict[str, Any]:
    """The settings of a run's data set."""
    node = run.config.get("dataset")
    return node if isinstance(node, dict) else {}


def fold_of(run: FinishedRun) -> int | None:
    """The fold that a run has held out, None where there are no folds."""
    folds, fold = (data_of(run).get(name) for name in ("folds", "fold"))
    return fold if isinstance(fold, int) and isinstance(folds, int) else None


class Files:
    """The pooled files of sweeps, each read once."""

    def __init__(self) -> None:
        self.rows: dict[Path, dict[str, list[Row]]] = {}

    def predictions(self, run: FinishedRun) -> OutOfFold:
        """What a run has predicted for its fold: from the file of its sweep, or from its own.

        Raises CheckpointError where neither can be read.
        """
        sweep = run.folder.parent
        if sweep not in self.rows:
            by_run: dict[str, list[Row]] = {}
            with suppress(CheckpointError):  # a run that is in no sweep has a file of its own
                for row in read(sweep):
                    by_run.setdefault(row.get(RUN, ""), []).append(row)
            self.rows[sweep] = by_run
        return parsed(run.folder, self.rows[sweep].get(run.folder.name) or read(run.folder))


def of_folds(runs: dict[int, FinishedRun], files: Files) -> Sequence[Run]:
    """One run of the folds' runs by number, or each with the reason why it is left out."""
    ordered = [runs[fold] for fold in sorted(runs)]
    folds = data_of(ordered[0])["folds"]
    if sorted(runs) != list(range(folds)):
        have = ", ".join(map(str, sorted(runs)))
        reason = f"of {folds} folds only {have} are there; run the others with {FOLD}=..."
        return [SkippedRun(run.folder, reason) for run in ordered]
    try:
        parts = [files.predictions(run) for run in ordered]
    except CheckpointError as error:
        return [SkippedRun(run.folder, str(error)) for run in ordered]
    first, sizes = ordered[0], [len(part.ids) for part in parts]
    config = first.config | {"dataset": data_of(first) | {"fold": None}}
    merged = result([run.result for run in ordered], parts)
    return [FinishedRun(first.folder, first.seed, config, merged, validations(ordered, sizes))]


def result(results: Sequence[dict[str, Any]], parts: Sequence[OutOfFold]) -> dict[str, Any]:
    """The results of all folds together."""
    merged = merge(results, [1] * len(results))
    for split in ("val", "val_before", "test", "test_before"):
        metrics = [one[split] for one in results if isinstance(one.get(split), dict)]
        if len(metrics) == len(results):
            sizes = [len(part.ids) if split.startswith("val") else 1 for part in parts]
            merged[split] = merge(metrics, sizes)
    plain = "val_before" if "val_before" in merged else "val"  # the file is before postprocessing
    if plain in merged:
        found = measures(parts)
        single = "accuracy" in merged[plain]  # it is no metric of several labels an image
        merged[plain] |= found if single else {"loss": found["loss"]}
    return merged


def merge(lines: Sequence[dict[str, Any]], weights: Sequence[float]) -> dict[str, Any]:
    """Sums of costs and weighted means of other numbers that all lines have."""
    merged: dict[str, Any] = {}
    for name in lines[0]:
        values = [finite(line.get(name)) for line in lines]
        known = [value for value in values if value is not None]
        if len(known) < len(lines):
            continue
        mean = float(np.average(known, weights=weights))
        merged[name] = sum(known) if name in COSTS - PER_FOLD else mean
    return merged


def validations(runs: Sequence[FinishedRun], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The validations of all folds together, as far as each run has them."""
    together = zip(*(run.validations for run in runs), strict=False)
    return [merge(lines, sizes) | {"split": "val"} for lines in together]


def measures(parts: Sequence[OutOfFold]) -> dict[str, float]:
    """The loss and, of classes, accuracy and balanced accuracy of all predictions together."""
    loss = float(np.mean(np.concatenate([part.loss for part in parts])))
    labels = np.array([label for part in parts for label in part.labels])
    if not (labels != "").any():
        return {"loss": loss}
    right = labels == np.array([guess for part in parts for guess in part.predictions])
    recalls = [float(right[labels == name].mean()) for name in np.unique(labels)]
    return {
        "loss": loss,
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recalls)),
    }
