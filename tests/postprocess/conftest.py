"""Outputs of an overconfident model: logits three times too large."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Case = tuple[Tensor, Tensor]


def drawn(examples: int, classes: int, seed: int) -> Case:
    """Outputs [N, C] and labels [N], drawn from the softmax of a third of the outputs."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(examples, classes, generator=rng) * 1.5
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    return 3 * logits, labels


@pytest.fixture
def overconfident() -> Callable[[int, int, int], Case]:
    """A function that draws outputs and labels from (examples, classes, seed)."""
    return drawn


@pytest.fixture
def many() -> Case:
    """Outputs [2000, 5] and labels."""
    return drawn(2000, 5, 0)


@pytest.fixture
def binary() -> Case:
    """Outputs [500, 2] and labels."""
    return drawn(500, 2, 1)
