"""Predictions of a finished run on a split, or of several runs as an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.probability import mean_outputs
from trainer.storage.saved_run import SavedRun
from trainer.storage.trained_on import places_of, shown
from trainer.trained.trained_run import TrainedRun
from trainer.trained.tta import View
from trainer.training.evaluate import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.dataset import Split
    from trainer.run.components import Components

Named = tuple[str | None, list[str]]  # the settings `run` and `runs`


@dataclass(frozen=True)
class Predictions:
    """Evaluations of one or several finished runs on a split of N examples."""

    split: str
    classes: tuple[str, ...]
    checkpoints: list[Path]
    columns: dict[str, Evaluation]  # by split name; `<split>_before` is without postprocessing
    members: dict[str, Evaluation]  # of each run by folder, if there are several
    seen: Tensor  # bool [N], whether any run was trained on the example
    groups: tuple[str, ...] = ()  # the names of the groups of examples, where they have some
    paths: list[str] | None = None  # of the N files, where images are files
    source: Split | None = None  # of the examples

    @property
    def evaluation(self) -> Evaluation:
        """The split's evaluation after postprocessing, if there is any."""
        return list(self.columns.values())[-1]


def predict(
    outer: Components, folder: Path, named: Named, name: str, tta: View | list[View]
) -> Predictions:
    """Evaluate finished runs on the split `name`, averaged over `tta` views.

    Each run uses its own postprocessing. Postprocessing on the command line is fitted on val to the
    outputs evaluated: the run's, or the mean of several; the new fit is written to `folder`. Raises
    ConfigError, CheckpointError or DataError.
    """
    names: list[View] = tta if isinstance(tta, list) else [tta]
    views: list[View] = [view for view in names if view != "none"]
    runs = [TrainedRun(outer, folder, saved, views) for saved in saved_runs(*named)]
    first = runs[0]
    if len(runs) > 1:
        check_same_examples(runs, name)
    seen = torch.stack([run.seen(name) for run in runs]).any(0)
    by_folder: dict[str, Evaluation] = {}
    if len(runs) == 1:
        columns = first.finish(name, first.evaluate(name), lambda: first.unseen("val"))
    elif any(override.lstrip("+~").startswith("postprocess") for override in outer.overrides):
        by_folder = {str(run.saved.folder): run.evaluate(name) for run in runs}
        plain = evaluate_mean(runs, list(by_folder.values()))
        columns = first.finish(name, plain, lambda: evaluate_val(runs), of=" and ".join(by_folder))
    else:
        plain, by_folder = [], {}
        for run in runs:
            finished = run.finish(name, run.evaluate(name), lambda run=run: run.unseen("val"))
            plain.append(next(iter(finished.values())))
            by_folder[str(run.saved.folder)] = finished[name]
        columns = evaluate_members(runs, name, plain, list(by_folder.values()))
    classes = first.data.classes
    columns = {k: first.evaluator.reported(e, classes) for k, e in columns.items()}
    if by_folder:
        pairs = zip(runs, by_folder.items(), strict=True)
        by_folder = {k: run.evaluator.reported(e, run.data.classes) for run, (k, e) in pairs}
    checkpoints = [run.checkpoint for run in runs]
    source = first.split(name)
    paths = paths_of(source)
    groups = first.data.groups
    return Predictions(name, classes, checkpoints, columns, by_folder, seen, groups, paths, source)


def paths_of(split: Split) -> list[str] | None:
    """The files of a split's examples; None if its images are in memory."""
    paths = getattr(split.images, "paths", None)
    return None if paths is None else paths[split.ids.numpy()].tolist()


def saved_runs(run: str | None, runs: list[str]) -> list[SavedRun]:
    """Return the runs that `run` or `runs` names. Raises ConfigError for none, or for both."""
    if run is not None and runs:
        raise ConfigError("set either run, for one run, or runs, for an ensemble, but not both")
    return [SavedRun.at(path, "runs") for path in runs] or [SavedRun.at(run)]


def check_same_examples(runs: list[TrainedRun], name: str) -> None:
    """Raise ConfigError unless all runs have the same classes and examples in a split."""
    first = runs[0]
    target = first.data.target
    if target not in ("class", "multilabel"):
        raise ConfigError(f"runs: an ensemble needs class labels, not {target} labels")
    for other in runs[1:]:
        about = f"runs: {first.saved.folder} and {other.saved.folder}"
        if set(first.data.classes) != set(other.data.classes):
            names = first.data.classes, other.data.classes
            lists = f"{shown(*names)} and {shown(*names[::-1])}"
            raise ConfigError(f"{about} have different classes: {lists}")
        ours, theirs = first.split(name), other.split(name)
        same = torch.equal(ours.ids, theirs.ids)
        if not (same and torch.equal(ours.labels[ours.ids], labels_of(other, name, first))):
            raise ConfigError(
                f"{about} have different examples in {name}; give all runs the same dataset "
                "settings and seed, such as seed=0"
            )


def labels_of(run: TrainedRun, name: str, first: TrainedRun) -> Tensor:
    """The labels [N] or [N, C] of a run's split, by the class order of the first run."""
    split = run.split(name)
    labels = split.labels[split.ids]
    if labels.ndim == 2:
        return labels[:, order(run, first.data.classes)]
    return places_of(run.data.classes, first.data.classes)[labels]


def evaluate_members(
    runs: list[TrainedRun], name: str, plain: list[Evaluation], finished: list[Evaluation]
) -> dict[str, Evaluation]:
    """Evaluate the mean of runs, of each before and after its own postprocessing, by split name.

    With several labels postprocessing moves thresholds, not probabilities: the ensemble's are the
    mean of the runs' thresholds, and `<split>_before` is without.
    """
    first = runs[0]
    if first.data.target != "multilabel":
        return {name: evaluate_mean(runs, finished)}
    mean = evaluate_mean(runs, plain)
    if all(one is other for one, other in zip(plain, finished, strict=True)):
        return {name: mean}
    zeros = torch.zeros(1, len(first.data.classes))
    shifts = [run.components.postprocess(zeros)[:, order(run, first.data.classes)] for run in runs]
    shift = torch.stack([(-one).sigmoid() for one in shifts]).mean(0).logit()
    device = first.components.device
    records = [mean.records["label"].to(device), mean.records.get("group")]
    moved = first.evaluator.judge(mean.ids, (mean.outputs - shift).to(device), *records)
    return {f"{name}_before": mean, name: moved}


def evaluate_mean(runs: list[TrainedRun], evaluations: list[Evaluation]) -> Evaluation:
    """Evaluate the mean of the runs' probabilities, by the first run's task, loss and classes."""
    first, evaluation = runs[0], evaluations[0]
    device, classes = first.components.device, first.data.classes
    pairs = zip(runs, evaluations, strict=True)
    several = first.data.target == "multilabel"
    outputs = mean_outputs([e.outputs[:, order(r, classes)] for r, e in pairs], several=several)
    labels = evaluation.records["label"]
    groups = evaluation.records.get("group")
    return first.evaluator.judge(evaluation.ids, outputs.to(device), labels.to(device), groups)


def order(run: TrainedRun, classes: tuple[str, ...]) -> Tensor:
    """The outputs of a run in the order of `classes`, as columns [C]."""
    return places_of(classes, run.data.classes)


def evaluate_val(runs: list[TrainedRun]) -> Evaluation:
    """Evaluate the ensemble on val. Raises ConfigError unless all runs share that split."""
    check_same_examples(runs, "val")
    return evaluate_mean(runs, [run.unseen("val") for run in runs])
