"""What trained runs do on a split: one alone, or several as one, postprocessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.probability import log_mean
from trainer.storage.saved_run import SavedRun, as_list
from trainer.trained.trained_run import Known, TrainedRun
from trainer.trained.tta import View
from trainer.training.evaluate import Evaluation

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.run.run import Run


@dataclass(frozen=True)
class Predictions:
    """What trained runs do on the split that is asked for."""

    run: Run  # the first, with the trained weights
    checkpoints: list[Path]
    columns: dict[str, Evaluation]  # by split, and `<split>_before` where it was postprocessed
    members: dict[str, Evaluation]  # each of several runs by itself
    seen: Tensor  # [N] whether a run was trained on each example

    @property
    def evaluation(self) -> Evaluation:
        """The split after all."""
        return list(self.columns.values())[-1]


def predict(run: Run, tta: View | list[View]) -> Predictions:
    """Evaluate what `run` or `runs` name on `split`; `tta` are the views that are averaged.

    Each run has its own postprocessing. One that the command line gives is fitted on val to what is
    evaluated: the run, or the mean of several.
    """
    asked: list[View] = tta if isinstance(tta, list) else [tta]
    views: list[View] = [view for view in asked if view != "none"]
    known: Known = {}
    members = [TrainedRun(run, source, views, known) for source in sources(run)]
    first, name = members[0], run.config["split"]
    if len(members) > 1:
        agree(members, name)
    seen = torch.stack([member.seen(name) for member in members]).any(0)
    alone: dict[str, Evaluation] = {}
    if len(members) == 1:
        columns = first.finish(name, first.evaluate(name), lambda: first.unseen("val"))
    elif any(override.lstrip("+~").startswith("postprocess") for override in run.overrides):
        alone = {str(m.source.folder): m.evaluate(name) for m in members}
        plain = together(first, list(alone.values()))
        columns = first.finish(name, plain, lambda: val_of(members), of=" and ".join(alone))
    else:
        for m in members:
            finished = m.finish(name, m.evaluate(name), lambda m=m: m.unseen("val"))
            alone[str(m.source.folder)] = finished[name]
        columns = {name: together(first, list(alone.values()))}
    return Predictions(first.run, [m.checkpoint for m in members], columns, alone, seen)


def sources(run: Run) -> list[SavedRun]:
    """The runs that are named. Raises ConfigError where there are none."""
    one, several = run.config["run"], as_list(run.config["runs"])
    if one is not None and several:
        raise ConfigError("give run, one run, or runs, several as one, but not both")
    return [SavedRun.at(path, "runs") for path in several] or [SavedRun.at(one)]


def agree(members: list[TrainedRun], name: str) -> None:
    """Raise ConfigError unless the runs have the same classes and the same examples in a split."""
    first = members[0]
    target = first.run.data.target
    if target != "class":
        raise ConfigError(f"runs: the mean of several is for class labels, not for {target} labels")
    for other in members[1:]:
        about = f"runs: {first.source.folder} and {other.source.folder}"
        if first.run.data.classes != other.run.data.classes:
            raise ConfigError(f"{about} have other classes")
        ours, theirs = first.split(name), other.split(name)
        same = torch.equal(ours.ids, theirs.ids)
        if not (same and torch.equal(ours.labels[ours.ids], theirs.labels[theirs.ids])):
            raise ConfigError(
                f"{about} have other examples in {name}; give the dataset settings and the seed "
                "that are to hold for all, such as seed=0"
            )


def together(first: TrainedRun, evaluations: list[Evaluation]) -> Evaluation:
    """The mean of their probabilities, with the first run's loss."""
    one, device = evaluations[0], first.run.device
    outputs = log_mean([e.outputs.log_softmax(1) for e in evaluations])
    labels = one.records["label"]
    return first.run.evaluator.judge(one.ids, outputs.to(device), labels.to(device))


def val_of(members: list[TrainedRun]) -> Evaluation:
    """Several runs as one on the validation split that all have."""
    agree(members, "val")
    return together(members[0], [member.unseen("val") for member in members])
