"""Presets: their parts in order, and lists of them."""

from functools import cache
from typing import Any

import pytest
import torch
from support import config_of

from trainer.augmentation import Augmentation
from trainer.config.build import build
from trainer.core.seed import ExampleRandom

STANDARD = ["random_crop", "horizontal_flip", "cutout"]
STRONG = ["random_resized_crop", "horizontal_flip", "color_jitter", "cutout"]


@cache
def nodes(options: str) -> dict[str, Any]:
    return config_of(f"augmentation={options}")["augmentation"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ("standard", STANDARD),
        ("strong", STRONG),
        ("[rotate,gaussian_noise]", ["rotate", "gaussian_noise"]),
        ("[standard,color_jitter]", [*STANDARD, "color_jitter"]),
    ],
)
def test_a_preset_has_its_parts_in_order(options: str, names: list[str]) -> None:
    assert list(nodes(options)) == names


@pytest.mark.parametrize("options", ["standard", "strong"])
@pytest.mark.parametrize("size", [(8, 8), (48, 40)])
def test_presets_fit_images_of_any_size(options: str, size: tuple[int, int], noise) -> None:
    images = noise(16, (3, *size)).images.read(range(16)) / 255
    draws = ExampleRandom(0, 0, torch.arange(16))
    got = images
    for name, node in nodes(options).items():
        augmentation = build(node, f"augmentation.{name}", Augmentation)
        augmentation.prepare(noise(16, (3, *size)))
        got = augmentation(got, draws)
    assert got.shape == images.shape
    changed = (got != images).flatten(1).any(1)
    assert changed.sum() > 12  # a crop may be at the original position


def test_standard_is_four_and_sixteen_pixels_of_32() -> None:
    parts = nodes("standard")
    assert round(parts["random_crop"]["padding"] * 32) == 4
    assert round(parts["cutout"]["length"] * 32) == 16
