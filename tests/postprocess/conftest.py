"""Outputs of an overconfident model."""

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
    """A function of (examples, classes, seed) that returns outputs and labels."""
    return drawn


@pytest.fixture
def many() -> Case:
    """2000 examples of five classes."""
    return drawn(2000, 5, 0)


@pytest.fixture
def binary() -> Case:
    """500 examples of two classes."""
    return drawn(500, 2, 1)
