"""Lion (Chen et al. 2023, https://arxiv.org/abs/2302.06675), algorithm 2."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from trainer.optimizer.shared.decoupled_decay import closure_loss, shrink
from trainer.optimizer.shared.eager import Eager
from trainer.optimizer.shared.groups import Trainable, check_betas, parameter_groups


class Lion(Eager):
    """Steps of lr · sign(β₁·m + (1 − β₁)·g), then m ← β₂·m + (1 − β₂)·g; decay is decoupled.

    Every weight moves by lr at each step, so the paper's rates are 3 to 10 times lower than
    AdamW's and its weight decay is as many times higher.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-4,
        betas: Sequence[float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        decay_bias_norm: bool = False,
    ) -> None:
        groups = parameter_groups(
            model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
        )
        super().__init__(groups, {"lr": lr, "betas": check_betas(betas)})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every weight that has a gradient."""
        loss = closure_loss(closure)
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients = [p.grad for p in weights]
            for p in weights:
                if not self.state[p]:
                    zeros = torch.zeros_like(p, memory_format=torch.preserve_format)
                    self.state[p]["mean"] = zeros
            means = [self.state[p]["mean"] for p in weights]
            beta1, beta2 = group["betas"]
            shrink(group, group["weight_decay"])
            directions = torch._foreach_lerp(means, gradients, 1 - beta1)
            torch._foreach_sign_(directions)
            torch._foreach_add_(weights, directions, alpha=-group["lr"])
            torch._foreach_lerp_(means, gradients, 1 - beta2)
        return loss
