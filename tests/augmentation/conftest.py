"""Images, and random numbers for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer.core.seed import ExampleRandom


@pytest.fixture
def pictures() -> Callable[..., Tensor]:
    """Make noise [B, C, H, W] in [0.1, 1], so that only pixels from outside are black."""

    def make(images: int = 40, channels: int = 3, height: int = 12, width: int = 15) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        return 0.1 + 0.9 * torch.rand(images, channels, height, width, generator=rng)

    return make


@pytest.fixture
def draws() -> Callable[..., ExampleRandom]:
    """Make the random numbers of the first rows of an epoch, the same for equal arguments."""

    def make(images: int = 40, *, seed: int = 3, epoch: int = 2) -> ExampleRandom:
        return ExampleRandom(seed, epoch, torch.arange(100, 100 + images))

    return make
