"""Fine-tuning: where a model's weights begin, which part stays as it is, and until when."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean
from trainer.init import Init
from trainer.model.shared.head import head_of, inside
from trainer.model.shared.pretrained import load_backbone
from trainer.storage.saved_run import SavedRun

Settings = Mapping[str, Any]


def begin(
    model: nn.Module,
    init: Init,
    settings: Settings,
    *,
    pretrained: bool,
    warn: Callable[[str], None],
) -> set[str] | None:
    """Give a new model its first weights: the scheme's, or a finished run's, which `source` names.

    Where the weights are given, or the model is pretrained, the scheme makes the head alone.
    Returns the modules that the scheme made, None for all.
    """
    source = settings["source"]
    if source is not None:
        if pretrained:
            raise ConfigError(f"finetune.source={source} needs model.pretrained=false")
        held = SavedRun.at(source, "finetune.source").checkpoint(warn)
        load_backbone(model, held.model, head_of(model), f"finetune.source={source}")
    only = {head_of(model)} if pretrained or source is not None else None
    init(model, only=only)
    return only


class Freeze:
    """Keeps a part of a model as it is: without gradient, so that no optimizer moves it.

    Its modules are in eval mode, so that batch norm keeps its statistics, too. `unfreeze` is when
    it joins the training; what is frozen is a function of the time alone.
    """

    def __init__(self, model: nn.Module, settings: Settings, clock: Clock) -> None:
        owners = frozen_modules(model, settings["freeze"])
        self.parameters = [
            p for owner in owners for p in owner.parameters(recurse=False) if p.requires_grad
        ]
        whole = {id(module) for module in owners}
        self.modules = [m for m in owners if m.training and {id(c) for c in m.modules()} <= whole]
        unfreeze = settings["unfreeze"]
        self.until = math.inf if unfreeze is None else clock.steps(unfreeze)
        self.active = False
        self(0.0)

    def __call__(self, t: float) -> None:
        """Freeze or unfreeze at step t, by the schedules' clock."""
        active = t < self.until
        if active == self.active:
            return
        self.active = active
        for parameter in self.parameters:
            parameter.requires_grad_(not active)
        for module in self.modules:
            module.training = not active


def frozen_modules(model: nn.Module, freeze: str) -> list[nn.Module]:
    """The modules whose own parameters are frozen, in the order of their definition.

    `backbone` is all but the head, `until:<module>` all up to a module and with it. Raises
    ConfigError for an unknown module, or one that leaves nothing to train.
    """
    if freeze == "none":
        return []
    modules, head = dict(model.named_modules()), head_of(model)
    names = [name for name in modules if not inside(name, head)]
    last = freeze.removeprefix("until:")
    if freeze != "backbone":
        if last not in modules or not last:
            close = did_you_mean(last, list(modules), prefix="until:")
            raise ConfigError(f"finetune.freeze={freeze}: the model has no such module.{close}")
        order = list(modules)
        end = max(i for i, name in enumerate(order) if inside(name, last))
        if order.index(head) <= end:
            raise ConfigError(f"finetune.freeze={freeze} leaves nothing to train; head is {head}")
        names = order[: end + 1]
    return [modules[name] for name in names]
