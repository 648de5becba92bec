"""Fine-tuning: where initial weights come from, which modules are frozen, and until when."""

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
    """Initialise a model by the init scheme, or from the finished run `source`.

    With a source or a pretrained model, the scheme initialises only the head. Returns the names of
    the modules it initialised, None for all. Raises ConfigError for a source and pretrained weights
    together, CheckpointError where the source does not fit.
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
    """Freezes part of a model: its parameters get no gradient, so no optimizer updates them.

    Its modules are in eval mode, which also freezes BatchNorm's statistics. After `unfreeze`, a
    duration, they are trained. What is frozen depends only on the step, so resuming needs no state.
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
        """Freeze or unfreeze the modules as due at step t of the schedule's clock."""
        active = t < self.until
        if active == self.active:
            return
        self.active = active
        for parameter in self.parameters:
            parameter.requires_grad_(not active)
        for module in self.modules:
            module.training = not active


def frozen_modules(model: nn.Module, freeze: str) -> list[nn.Module]:
    """Return the modules whose own parameters are frozen, in definition order.

    `freeze` is none, backbone (all but the head) or until:<module> (up to and including it). Raises
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
