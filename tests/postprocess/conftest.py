"""Outputs of a model that is too sure of itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

Case = tuple[Tensor, Tensor]


def drawn(number: int, classes: int, seed: int) -> Case:
    """Logits [N, C], three times too large, and labels [N] drawn from the softmax of a third."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(number, classes, generator=rng) * 1.5
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    return 3 * logits, labels


@pytest.fixture
def overconfident() -> Callable[[int, int, int], Case]:
    """Makes outputs and labels of a number of examples and classes from a seed."""
    return drawn


@pytest.fixture
def many() -> Case:
    """2000 examples of five classes."""
    return drawn(2000, 5, 0)


@pytest.fixture
def binary() -> Case:
    """500 examples of two classes."""
    return drawn(500, 2, 1)
