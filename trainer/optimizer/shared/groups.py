"""Parameter groups, the choice of the fused kernel, and checks that optimizers share."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from trainer.core.ranges import within

Trainable = nn.Module | Iterable[nn.Parameter]  # a model, or its parameters


def small_model() -> nn.Module:
    """A model of a weight and a bias, to make an optimizer for. It draws no random number."""
    return nn.ParameterDict({"weight": torch.zeros(2, 2), "bias": torch.zeros(2)})


def parameter_list(model: Trainable) -> list[nn.Parameter]:
    """The parameters of a model, or those given, as a list."""
    return list(model.parameters() if isinstance(model, nn.Module) else model)


def parameter_groups(
    model: Trainable, *, lr: float, weight_decay: float, decay_bias_norm: bool
) -> list[dict[str, Any]]:
    """Groups of the trainable parameters; one-dimensional ones (biases, norms) are not decayed.

    A single group if none or all are decayed. Raises ValueError for a setting out of range.
    """
    within("optimizer.lr", lr, "(0, inf)")
    within("optimizer.weight_decay", weight_decay, "[0, inf)")
    parameters = [p for p in parameter_list(model) if p.requires_grad]
    if not weight_decay or decay_bias_norm:
        return [{"params": parameters, "weight_decay": weight_decay}]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def check_betas(betas: Sequence[float]) -> tuple[float, float]:
    """Adam's two decay rates as a tuple. Raises ValueError unless they are two in [0, 1)."""
    within("optimizer.betas", betas, "[0, 1)")
    if len(betas) != 2:
        raise ValueError(f"optimizer.betas must be two numbers, got {betas}")
    return betas[0], betas[1]


def fusable(parameters: Iterable[torch.Tensor]) -> bool:
    """True if torch has a fused kernel for all of the parameters."""
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def base_lr(optimizer: Optimizer) -> float:
    """The optimizer's own learning rate, which a group's `lr_scale` multiplies."""
    return optimizer.defaults["lr"]
