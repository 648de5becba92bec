"""No augmentation."""

import torch

from trainer.augmentation.none import NoAugmentation
from trainer.core.seed import ExampleRandom


def test_images_are_unchanged_and_no_random_number_is_drawn() -> None:
    images, draws = torch.rand(2, 1, 3, 3), ExampleRandom(0, 0, torch.arange(2))
    assert NoAugmentation()(images, draws) is images
    assert draws.calls == 0
