"""Sharpness-aware minimisation (Foret et al. 2021, https://arxiv.org/abs/2010.01412), algorithm 1.

The gradient is taken at w + ρ·g / ‖g‖, eq. 2, the worst place near the weights w to first order.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

TINY = 1e-12  # keeps 0 / 0 away where the gradient is 0


@contextmanager
def ascended(
    model: nn.Module, parameters: list[nn.Parameter], norm: Tensor, radius: float
) -> Iterator[None]:
    """The weights `radius` up their gradients of 2-norm `norm`; afterwards the very same as before.

    Gradients begin anew. Buffers too are put back: BatchNorm's statistics are of the weights.
    """
    weights: list[Tensor] = [parameter.detach() for parameter in parameters]
    held = [*weights, *model.buffers()]
    before = [tensor.clone() for tensor in held]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_add_(weights, list(torch._foreach_mul(gradients, radius / (norm + TINY))))
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        torch._foreach_copy_(held, before)
