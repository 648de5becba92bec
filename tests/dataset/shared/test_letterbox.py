"""Images whole, with bars beside them, and the place of each."""

import numpy as np
import pytest
from PIL import Image

from trainer.dataset.shared.decode import pixels_of
from trainer.dataset.shared.letterbox import Placement, letterbox, placement


@pytest.mark.parametrize(
    ("size", "pad", "cover"),
    [
        ((10, 20), Placement(5, 10, 2, 0), Placement(10, 20, 0, -5)),
        ((20, 10), Placement(10, 5, 0, 2), Placement(20, 10, -5, 0)),
        ((10, 10), Placement(10, 10, 0, 0), Placement(10, 10, 0, 0)),
        ((5, 5), Placement(10, 10, 0, 0), Placement(10, 10, 0, 0)),
        ((1, 1000), Placement(1, 10, 4, 0), Placement(10, 10_000, 0, -4995)),
    ],
)
def test_places_on_10_x_10_by_hand(size, pad, cover) -> None:
    assert placement(size, (10, 10), "pad") == pad
    assert placement(size, (10, 10), "cover") == cover


@pytest.mark.parametrize(("mode", "grey"), [("RGB", None), ("L", 255)])
def test_the_bars_are_of_the_background(mode: str, grey: int | None) -> None:
    image = Image.new(mode, (20, 10), 100 if grey else (100, 0, 0))
    pixels = np.asarray(letterbox(image, 10, 10, (255, 255, 255)))
    assert (pixels[[0, 1, 7, 8, 9]] == 255).all()
    assert (pixels[2:7] == (100 if grey else [100, 0, 0])).all()


def test_an_image_of_the_right_size_is_not_changed() -> None:
    image = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10))
    assert letterbox(image, 10, 10) is image
    assert (pixels_of(image, (1, 10, 10), way="pad")[0] == np.asarray(image)).all()
