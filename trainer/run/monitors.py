"""What may be monitored: the metrics at an epoch's end, by name, before there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean

if TYPE_CHECKING:
    from trainer.run.components import Components

FEW = 2  # examples whose labels are judged


def check_monitors(parts: Components) -> None:
    """Raise ConfigError for a monitor that is no metric of this run."""
    known = names(parts)
    asked = {"checkpoint": parts.config["checkpoint"]["monitor"]} if len(parts.data.val) else {}
    for group in ("early_stopping", "schedule"):
        monitor = getattr(getattr(parts, group), "monitor", None)
        if isinstance(monitor, str):
            asked[group] = monitor
    for group, monitor in asked.items():
        if monitor not in known:
            hint = did_you_mean(monitor, (name for name in known if like(name, monitor)))
            raise ConfigError(
                f"{group}.monitor={monitor} is no metric of this run.{hint} "
                f"Metrics: {', '.join(known)}"
            )


def names(parts: Components) -> list[str]:
    """The metrics of the training split, and of val where there is one."""
    task, val = parts.task, parts.data.val
    found = [f"train/{name}" for name in ("loss", *task.tracked)]
    if not len(val):
        return found
    labels = val.labels[val.ids[:FEW]]
    if labels.is_floating_point() and labels.ndim == 1:
        labels = labels[:, None]
    outputs = torch.zeros(len(labels), *task.shape(parts.data))
    records = task.records(outputs, labels if labels.is_floating_point() else labels.long())
    return [*found, *(f"val/{name}" for name in ("loss", *task.metrics(records)))]


def like(name: str, monitor: str) -> bool:
    """Whether a metric is of the split that a monitor names; any is where it names none."""
    split = monitor.partition("/")[0]
    return split not in ("train", "val") or name.startswith(f"{split}/")
