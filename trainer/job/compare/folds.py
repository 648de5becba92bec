"""The runs of all folds as one run, measured on the examples that each has held out.

Folds share most of their training examples and are no repetitions of each other: they are pooled,
and seeds are what a comparison counts. Test metrics are means over the folds' models, and costs are
sums. Val metrics are those of all out-of-fold predictions together, as the sweep has pooled them.
Where the predictions do not suffice, as after postprocessing and in the validations during
training, means over examples are weighted by the sizes of the folds, and other metrics left out.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from trainer.core.errors import CheckpointError
from trainer.core.number import finite
from trainer.job.compare.groups import dotted
from trainer.job.compare.pooled import means, metrics_of
from trainer.job.compare.runs import NUMBERS, FinishedRun, SkippedRun
from trainer.storage.out_of_fold import OutOfFold, Part, parsed, read_parts

FOLD = "dataset.fold"
COSTS = {*NUMBERS, "forward_passes", "step", "epoch"}  # also in the lines of metrics.jsonl
VAL, SPLIT = ("val", "val_before"), {"split": "val"}
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
        self.parts: dict[Path, dict[str, Part]] = {}

    def predictions(self, run: FinishedRun) -> Part:
        """What a run has predicted for its fold: from the file of its sweep, or from its own.

        Raises CheckpointError where neither can be read.
        """
        sweep = run.folder.parent
        if sweep not in self.parts:
            self.parts[sweep] = {}
            with suppress(CheckpointError):  # a run that is in no sweep has a file of its own
                self.parts[sweep] = read_parts(sweep)
        own = self.parts[sweep].get(run.folder.name)
        return own or read_parts(run.folder).get("", Part())


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
        rows = [parsed(r.folder, part.rows) for r, part in zip(ordered, parts, strict=True)]
    except CheckpointError as error:
        return [SkippedRun(run.folder, str(error)) for run in ordered]
    first, sizes = ordered[0], [len(part.ids) for part in rows]
    config = first.config | {"dataset": data_of(first) | {"fold": None}}
    merged = result([run.result for run in ordered], sizes)
    plain = "val_before" if "val_before" in merged else "val"  # the file is before postprocessing
    exact = metrics_of(task_of(first), parts) | measures(rows)
    for split in (s for s in VAL if s in merged):
        found = exact if split == plain else {}
        merged[split] = means(merged[split]) | known(found, ordered, split)
    pooled = replace(first, config=config, result=merged, validations=validations(ordered, sizes))
    lost = [name for s in VAL for name in measured(ordered, s) if pooled.final(name) is None]
    return [replace(pooled, not_pooled=tuple(lost), folds=folds)]


def measured(runs: Sequence[FinishedRun], split: str) -> list[str]:
    """The metrics `<split>/<name>` that any of the runs has."""
    splits = (run.result.get(split) for run in runs)
    names = dict.fromkeys(f"{split}/{k}" for s in splits if isinstance(s, dict) for k in s)
    return [name for name in names if any(run.final(name) is not None for run in runs)]


def known(found: dict[str, float], runs: Sequence[FinishedRun], split: str) -> dict[str, float]:
    """Those of the metrics found that any of the runs has on a split, and that are numbers."""
    asked = {name.partition("/")[2] for name in measured(runs, split)}
    if "accuracy" in asked:
        asked.add("balanced_accuracy")  # older runs have none
    return {k: value for k, value in found.items() if k in asked and finite(value) is not None}


def task_of(run: FinishedRun) -> object:
    """The import path of a run's task."""
    node = run.config.get("task")
    return node.get("_target_") if isinstance(node, dict) else None


def result(results: Sequence[dict[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """The sums and means of the results of all folds."""
    merged = merge(results, [1] * len(results))
    for split in (*VAL, "test", "test_before"):
        metrics = [one[split] for one in results if isinstance(one.get(split), dict)]
        if len(metrics) == len(results):
            merged[split] = merge(metrics, sizes if split in VAL else [1] * len(sizes))
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
    """The validations of all folds together, as far as each run has them.

    Of the metrics only those that are means over examples are known: no predictions were kept.
    """
    together = zip(*(run.validations for run in runs), strict=False)
    merged = [merge(lines, sizes) for lines in together]
    return [
        {name: value for name, value in line.items() if name in COSTS} | means(line) | SPLIT
        for line in merged
    ]


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
