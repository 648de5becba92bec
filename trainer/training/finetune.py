"""Fine-tuning: a model's first weights, which part of it is frozen, and until when."""

from __future__ import annotations

import math

from torch import nn

from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean
from trainer.init import Init
from trainer.model.shared.head import head_of, inside
from trainer.model.shared.pretrained import load_backbone
from trainer.storage.restored import Restore


def initialise(
    model: nn.Module, init: Init, *, source: str | None, pretrained: bool, restore: Restore
) -> set[str] | None:
    """Give a new model its first weights: the init scheme's, or those of the finished run `source`.

    With a source, or a pretrained model, the scheme initialises the head alone. Returns the names
    of the modules that the scheme initialised, None for all.
    """
    if source is not None:
        if pretrained:
            raise ConfigError(f"finetune.source={source} needs model.pretrained=false")
        weights = restore(source, "finetune.source").weights
        load_backbone(model, weights, head_of(model), f"finetune.source={source}")
    only = {head_of(model)} if pretrained or source is not None else None
    init(model, only=only)
    return only


class Freeze:
    """Freezes a part of a model: no gradient, so that no optimizer moves it.

    Its modules are in eval mode, so that BatchNorm keeps its statistics too. At `unfreeze`, a
    duration, it joins the training; what is frozen is a function of the step alone.
    """

    def __init__(self, model: nn.Module, freeze: str, unfreeze: str | None, clock: Clock) -> None:
        owners = frozen_modules(model, freeze)
        self.parameters = [
            p for owner in owners for p in owner.parameters(recurse=False) if p.requires_grad
        ]
        whole = {id(module) for module in owners}
        self.modules = [m for m in owners if m.training and {id(c) for c in m.modules()} <= whole]
        self.until = math.inf if unfreeze is None else clock.steps(unfreeze)
        self.active = False
        self(0.0)

    def __call__(self, t: float) -> None:
        """Freeze or unfreeze at step t of the schedule's clock."""
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

    `backbone` is all but the head, `until:<module>` everything up to and including a module.
    Raises ConfigError for an unknown module, or one that leaves nothing to train.
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
