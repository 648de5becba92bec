from collections.abc import Callable

import pytest
import torch

from trainer.core.batch import Batch


@pytest.fixture
def owned() -> Callable[..., Batch]:
    """Make a batch whose image b is 1 in channel b, so that channels of a mix show the source."""

    def make(size: int, height: int = 6, width: int = 9) -> Batch:
        images = torch.eye(size)[:, :, None, None].repeat(1, 1, height, width)
        ones, ids = torch.ones(size), torch.arange(size)[:, None]
        return Batch(images, ids + 100, ones[:, None], ids, ones, ones)

    return make


@pytest.fixture
def located() -> Callable[..., Batch]:
    """Make a batch with pixel values b·HW + y·W + x, in both images and masks."""

    def make(size: int, height: int = 6, width: int = 9) -> Batch:
        images = torch.arange(size * height * width).view(size, 1, height, width)
        ones, ids = torch.ones(size), torch.arange(size)[:, None]
        return Batch(images.float(), images.clone(), ones[:, None], ids, ones, ones)

    return make
