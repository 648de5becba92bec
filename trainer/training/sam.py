"""Sharpness-aware minimisation (Foret et al. 2021, https://arxiv.org/abs/2010.01412), algorithm 1.

The gradient is taken at w + ρ·g / ‖g‖, eq. 2, to first order the highest loss within ρ of w.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

TINY = 1e-12  # avoids 0 / 0 where the gradient is 0


@contextmanager
def ascended(
    model: nn.Module, parameters: list[nn.Parameter], norm: Tensor, radius: float
) -> Iterator[None]:
    """Move the weights by `radius` along their gradients, and restore them bit for bit on exit.

    `norm` is the gradients' global 2-norm, a scalar. Gradients are cleared on entry. Buffers are
    restored too, so that BatchNorm's statistics describe the original weights.
    """
    weights: list[Tensor] = [parameter.detach() for parameter in parameters]
    changed = [*weights, *model.buffers()]
    before = [tensor.clone() for tensor in changed]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_add_(weights, list(torch._foreach_mul(gradients, radius / (norm + TINY))))
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        torch._foreach_copy_(changed, before)
