"""AdaBound and AMSBound (Luo et al. 2019, https://arxiv.org/abs/1902.09843), algorithms 2 and 3.

With the bias correction and the bounds of the authors' code: at step t, counted from 1, with f =
`final_lr`, γ = `gamma`, and Adam's running means m and v,

    step = clip(lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ) / (√v + eps), f(1 − 1/(γt + 1)), f(1 + 1/(γt))) · m
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import closure_loss, shrink
from trainer.optimizer.shared.eager import Eager
from trainer.optimizer.shared.groups import Trainable, check_betas, parameter_groups


class AdaBound(Eager):
    """Adam with the rate of each weight bounded ever more tightly around SGD's rate `final_lr`.

    `final_lr` is scaled by the schedule and by layer, as lr is. With `amsbound`, v is replaced by
    its maximum so far.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
        amsbound: bool = False,
    ) -> None:
        within("optimizer.final_lr", final_lr, "(0, inf)")
        within("optimizer.gamma", gamma, "(0, 1)")
        within("optimizer.eps", eps, "[0, inf)")
        groups = parameter_groups(
            model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
        )
        defaults = {
            "lr": lr,
            "base_lr": lr,  # the rate that `final_lr` corresponds to
            "betas": check_betas(betas),
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "decoupled": decoupled,
            "amsbound": amsbound,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every weight that has a gradient."""
        loss = closure_loss(closure)
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self.update(group, weights)
        return loss

    def update(self, group: dict[str, Any], weights: list[Tensor]) -> None:
        """Update a group's weights, each with its own step count, as some may have been frozen."""
        gradients = [p.grad for p in weights if p.grad is not None]
        states = [self.advance(p, amsbound=group["amsbound"]) for p in weights]
        means, squares = ([state[key] for state in states] for key in ("mean", "square"))
        if group["decoupled"]:
            shrink(group, group["weight_decay"])
        elif group["weight_decay"]:
            gradients = torch._foreach_add(gradients, weights, alpha=group["weight_decay"])
        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        if group["amsbound"]:
            peaks = [state["peak"] for state in states]
            torch._foreach_maximum_(peaks, squares)
            squares = peaks
        rates = torch._foreach_sqrt(squares)
        torch._foreach_add_(rates, group["eps"])
        torch._foreach_reciprocal_(rates)
        scales, low, high = zip(*(bounds(group, state["step"]) for state in states), strict=True)
        torch._foreach_mul_(rates, scales)
        torch._foreach_clamp_min_(rates, low)
        torch._foreach_clamp_max_(rates, high)
        torch._foreach_addcmul_(weights, rates, means, -1)

    def advance(self, weight: Tensor, *, amsbound: bool) -> dict[str, Any]:
        """The state of a weight, created if need be, with its step count advanced by one."""
        state = self.state[weight]
        if not state:
            state["step"] = 0
            for key in ("mean", "square", "peak") if amsbound else ("mean", "square"):
                state[key] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        state["step"] += 1
        return state


def bounds(group: dict[str, Any], t: int) -> tuple[float, float, float]:
    """Adam's bias-corrected rate at step t, and the lower and upper bounds of a weight's rate."""
    lr, gamma, (beta1, beta2) = group["lr"], group["gamma"], group["betas"]
    final = group["final_lr"] * lr / group["base_lr"]
    scale = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
    return scale, final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
