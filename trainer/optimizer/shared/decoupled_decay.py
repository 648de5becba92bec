"""Decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), eq. 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainer.optimizer.shared.eager import Eager, take_step
from trainer.optimizer.shared.groups import Trainable, parameter_groups


class DecoupledDecay(Eager):
    """Mixin, listed before one of torch's optimizers that has only L2: adds decoupled decay.

    `settings` are those of torch's class; a subclass declares and checks them.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float,
        weight_decay: float,
        decoupled: bool,
        decay_bias_norm: bool,
        **settings: Any,
    ) -> None:
        groups = parameter_groups(
            model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
        )
        super().__init__(groups, **{**settings, "lr": lr})
        if decoupled:
            self.decouple()

    def decouple(self) -> None:
        """Let `weight_decay` shrink the weights instead of adding to the gradient."""
        for group in self.param_groups:
            group["decoupled_decay"], group["weight_decay"] = group["weight_decay"], 0.0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Decay the weights, then take the step of torch's optimizer."""
        loss = closure_loss(closure)
        skip = getattr(self, "found_inf", None)  # 1 where a fused kernel skips the step
        for group in self.param_groups:
            shrink(group, group.get("decoupled_decay", 0.0), skip)
        take_step(super().step)
        return loss


def shrink(group: dict[str, Any], decay: float, skip: Tensor | None = None) -> None:
    """Multiply a group's weights by 1 − lr · decay, or by 1 where the scalar `skip` is 1."""
    weights = [p for p in group["params"] if p.grad is not None]
    if decay and weights:
        fraction = group["lr"] * decay
        torch._foreach_mul_(weights, 1 - fraction if skip is None else 1 - fraction * (1 - skip))


def closure_loss(closure: Callable[[], Any] | None) -> Any:
    """The loss that a step's closure returns after its backward pass; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
