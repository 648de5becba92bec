"""Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), algorithm 1."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.optimizer.shared.fused import FusedStep
from trainer.optimizer.shared.groups import (
    Trainable,
    check_betas,
    fusable,
    parameter_groups,
    parameter_list,
)


class Adam(FusedStep, torch.optim.Adam):
    """torch's Adam, fused where possible. Weight decay is L2, or `decoupled`, which is AdamW."""

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
        amsgrad: bool = False,
    ) -> None:
        within("optimizer.eps", eps, "[0, inf)")
        parameters = parameter_list(model)
        super().__init__(
            parameter_groups(
                parameters, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
            ),
            lr=lr,
            betas=check_betas(betas),
            eps=eps,
            amsgrad=amsgrad,
            decoupled_weight_decay=decoupled,
            fused=fusable(parameters),
        )

    def kernel(
        self,
        group: dict[str, Any],
        weights: list[Tensor],
        states: list[dict[str, Tensor]],
        scaling: dict[str, Tensor | None],
    ) -> None:
        """Take the step of one group's weights."""
        steps, found_inf = [state["step"] for state in states], scaling["found_inf"]
        fused = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
        torch._foreach_add_(steps, 1)
        fused(
            weights,
            [w.grad for w in weights],  # pyright: ignore
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else [],
            steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=False,
            **scaling,
        )
        if found_inf is not None:  # no step, if it is 1
            torch._foreach_sub_(steps, [found_inf] * len(steps))
