"""What all optimizers share: parameter groups and the choice of the fused kernel."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from trainer.core.ranges import within


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, decay_bias_norm: bool
) -> list[dict[str, Any]]:
    """The trainable parameters; those of one dimension (biases, norms) without weight decay.

    One group where nothing is decayed, or everything is.
    """
    within("optimizer.lr", lr, "(0, inf)")
    within("optimizer.weight_decay", weight_decay, "[0, inf)")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not weight_decay or decay_bias_norm:
        return [{"params": parameters, "weight_decay": weight_decay}]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def check_betas(betas: list[float]) -> None:
    """Raise ValueError unless they are Adam's two decay rates."""
    within("optimizer.betas", betas, "[0, 1)")
    if len(betas) != 2:
        raise ValueError(f"optimizer.betas must be two numbers, got {betas}")


def fusable(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether torch has a fused kernel for all of them."""
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def base_lr(optimizer: Optimizer) -> float:
    """The optimizer's own rate, which `lr_scale` of a group is a factor on."""
    return optimizer.defaults["lr"]
