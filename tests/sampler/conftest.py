"""A split with classes of unequal size."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from trainer.dataset import Split


@pytest.fixture
def uneven(noise: Callable[..., Split]) -> Split:
    """Classes 0, 1 and 2 with 30, 12 and 7 training examples out of 98, their ids unsorted."""
    split = noise(98)
    ids = torch.randperm(98, generator=torch.Generator().manual_seed(1))[:49]
    labels = torch.full((98,), 1)
    labels[ids[:30]] = 0
    labels[ids[42:]] = 2
    return replace(split, labels=labels, ids=ids)
