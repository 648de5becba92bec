"""The names of the metrics that a run will report, to check monitors before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.core.errors import ConfigError
from trainer.core.metric import check_known
from trainer.core.suggest import did_you_mean
from trainer.training.evaluate import worst_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from trainer.dataset import Data, Split
    from trainer.early_stopping import EarlyStopping
    from trainer.schedule import Schedule
    from trainer.task import Task

FEW = 2  # examples that are evaluated to discover the metrics


def monitored(
    checkpoint: str, stopping: EarlyStopping, schedule: Schedule, data: Data
) -> dict[str, str]:
    """The monitors by config group; the checkpoint's only where there is a val split."""
    monitors = {
        "checkpoint": checkpoint if len(data.val) else None,
        "early_stopping": stopping.monitor,
        "schedule": schedule.monitor,
    }
    return {group: monitor for group, monitor in monitors.items() if monitor is not None}


def check_monitors(asked: Mapping[str, str], task: Task, data: Data) -> None:
    """Raise ConfigError for a monitor that is not a metric of the run."""
    known = metric_names(task, data)
    for group, monitor in asked.items():
        if monitor not in known:
            hint = did_you_mean(monitor, (name for name in known if may_mean(name, monitor)))
            raise ConfigError(
                f"{group}.monitor={monitor} is not a metric of this run.{hint} "
                f"Metrics: {', '.join(known)}"
            )


def metric_names(task: Task, data: Data) -> list[str]:
    """The metrics of the training split, and of val where there is one."""
    val = data.val
    found = [f"train/{name}" for name in ("loss", *task.tracked)]
    if not len(val):
        return found
    _, records = of_zeros(task, data, val)
    return [*found, *(f"val/{n}" for n in ("loss", *task.metrics(records), *worst_group(records)))]


def of_zeros(task: Task, data: Data, split: Split) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs that are 0 for the first few examples of a split, and their records."""
    labels = split.labels[split.ids[:FEW]]
    if labels.is_floating_point() and labels.ndim == 1:
        labels = labels[:, None]
    outputs = torch.zeros(len(labels), *task.shape(data))
    records = task.records(outputs, labels if labels.is_floating_point() else labels.long())
    if split.groups is not None:
        records["group"] = split.groups[split.ids[:FEW]]
    return outputs, records


def check_shown(asked: list[str] | None, task: Task, data: Data, measures: Sequence[str]) -> None:
    """Raise ConfigError for a metric to be shown that no split of the run will have.

    `measures` are those that postprocessing adds.
    """
    if asked is None:
        return
    split = next((s for s in (data.test, data.val) if len(s)), data.train)
    outputs, records = of_zeros(task, data, split)
    report = task.report(outputs, records, data.classes)
    found = [*task.metrics(records), *worst_group(records), *report.metrics]
    check_known(asked, ["loss", *found, *measures])


def may_mean(name: str, monitor: str) -> bool:
    """Whether a metric is of the monitor's split; always true for a monitor without one."""
    split = monitor.partition("/")[0]
    return split not in ("train", "val") or name.startswith(f"{split}/")
