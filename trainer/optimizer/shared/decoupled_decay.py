"""Decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), eq. 1."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class DecoupledDecay(Optimizer):
    """Adds it to an optimizer of torch's that has L2 alone: a base class before torch's own."""

    def decouple(self) -> None:
        """From now on `weight_decay` shrinks the weights and does not enter the gradient."""
        for group in self.param_groups:
            group["decoupled_decay"], group["weight_decay"] = group["weight_decay"], 0.0

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Shrink the weights, then take the step."""
        loss = evaluated(closure)
        skip = getattr(self, "found_inf", None)  # 1 where a fused kernel takes no step
        for group in self.param_groups:
            shrink(group, group.get("decoupled_decay", 0.0), skip)
        super().step()
        return loss


def shrink(group: dict[str, Any], decay: float, skip: Tensor | None = None) -> None:
    """Multiply a group's weights by 1 − lr · decay, or by 1 where the number `skip` is 1."""
    weights = [p for p in group["params"] if p.grad is not None]
    if decay and weights:
        by = group["lr"] * decay
        torch._foreach_mul_(weights, 1 - by if skip is None else 1 - by * (1 - skip))


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """What the closure of a step returns: the loss, after a backward pass."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
