"""Predictions of a finished run on a split, or of several runs as an ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.probability import log_mean
from trainer.storage.saved_run import SavedRun
from trainer.trained.trained_run import TrainedRun
from trainer.trained.tta import View
from trainer.training.evaluate import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

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

    @property
    def evaluation(self) -> Evaluation:
        """The split's evaluation after postprocessing, if there is any."""
        return list(self.columns.values())[-1]


def predict(
    outer: Components, folder: Path, named: Named, name: str, tta: View | list[View]
) -> Predictions:
    """Evaluate finished runs on the split `name`, averaged over `tta` views.

    A new fit of the postprocessing is written to `folder`.

    Each run uses its own postprocessing. Postprocessing given on the command line is fitted on val
    to the outputs evaluated: the run's, or the mean of several. Raises ConfigError, CheckpointError
    or DataError.
    """
    asked: list[View] = tta if isinstance(tta, list) else [tta]
    views: list[View] = [view for view in asked if view != "none"]
    members = [TrainedRun(outer, folder, saved, views) for saved in saved_runs(*named)]
    first = members[0]
    if len(members) > 1:
        check_same_examples(members, name)
    seen = torch.stack([member.seen(name) for member in members]).any(0)
    alone: dict[str, Evaluation] = {}
    if len(members) == 1:
        columns = first.finish(name, first.evaluate(name), lambda: first.unseen("val"))
    elif any(override.lstrip("+~").startswith("postprocess") for override in outer.overrides):
        alone = {str(m.source.folder): m.evaluate(name) for m in members}
        plain = evaluate_mean(first, list(alone.values()))
        columns = first.finish(name, plain, lambda: evaluate_val(members), of=" and ".join(alone))
    else:
        for m in members:
            finished = m.finish(name, m.evaluate(name), lambda m=m: m.unseen("val"))
            alone[str(m.source.folder)] = finished[name]
        columns = {name: evaluate_mean(first, list(alone.values()))}
    checkpoints = [member.checkpoint for member in members]
    return Predictions(name, first.data.classes, checkpoints, columns, alone, seen)


def saved_runs(one: str | None, several: list[str]) -> list[SavedRun]:
    """Return the runs named by `run` or `runs`. Raises ConfigError for none, or for both."""
    if one is not None and several:
        raise ConfigError("set either run, for one run, or runs, for an ensemble, but not both")
    return [SavedRun.at(path, "runs") for path in several] or [SavedRun.at(one)]


def check_same_examples(members: list[TrainedRun], name: str) -> None:
    """Raise ConfigError unless all runs have the same classes and examples in a split."""
    first = members[0]
    target = first.data.target
    if target != "class":
        raise ConfigError(f"runs: an ensemble needs class labels, not {target} labels")
    for other in members[1:]:
        about = f"runs: {first.source.folder} and {other.source.folder}"
        if first.data.classes != other.data.classes:
            raise ConfigError(f"{about} have different classes")
        ours, theirs = first.split(name), other.split(name)
        same = torch.equal(ours.ids, theirs.ids)
        if not (same and torch.equal(ours.labels[ours.ids], theirs.labels[theirs.ids])):
            raise ConfigError(
                f"{about} have different examples in {name}; give all runs the same dataset "
                "settings and seed, such as seed=0"
            )


def evaluate_mean(first: TrainedRun, evaluations: list[Evaluation]) -> Evaluation:
    """Evaluate the mean of several runs' probabilities, by the first run's task and loss."""
    one, device = evaluations[0], first.components.device
    outputs = log_mean([e.outputs.log_softmax(1) for e in evaluations])
    labels = one.records["label"]
    return first.evaluator.judge(one.ids, outputs.to(device), labels.to(device))


def evaluate_val(members: list[TrainedRun]) -> Evaluation:
    """Evaluate the ensemble on val. Raises ConfigError unless all members share that split."""
    check_same_examples(members, "val")
    return evaluate_mean(members[0], [member.unseen("val") for member in members])
