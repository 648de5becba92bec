"""EXIF orientation, and what transparent pixels lie on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.decode import colour, decode
from trainer.dataset.shared.masks import MaskDataset

WHITE = (255, 255, 255)
PINK = (250, 100, 150)


def with_orientation(path: Path, orientation: int, **settings: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **settings)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_images_are_turned_as_pillow_does(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = with_orientation(tmp_path / f"x.{suffix}", orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    height, width = expected.shape[:2]
    assert (height, width) == ((9, 6) if orientation > 4 else (6, 9))
    assert np.array_equal(decode(path, (3, height, width)), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_unknown_orientation_changes_nothing(tmp_path: Path, orientation: int) -> None:
    path = with_orientation(tmp_path / "x.png", orientation)
    with Image.open(path) as image:
        expected = np.asarray(image)
    assert np.array_equal(decode(path, (3, 6, 9)), expected.transpose(2, 0, 1))


@pytest.mark.filterwarnings("ignore::UserWarning")  # as the product ignores those of Pillow
@pytest.mark.parametrize("record", [b"", b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"\0" * 9])
def test_a_damaged_exif_record_counts_as_none(tmp_path: Path, record: bytes) -> None:
    image = Image.fromarray(np.full((4, 5, 3), 77, np.uint8))
    image.save(tmp_path / "x.jpg", exif=record)
    assert (decode(tmp_path / "x.jpg", (3, 4, 5)) == 77).all()


def test_images_with_masks_are_not_turned(tmp_path: Path) -> None:
    """Their masks have no EXIF record."""
    path = with_orientation(tmp_path / "x.png", 6)
    data = MaskDataset(size=6)
    images = data.split([path], np.zeros(1)).images  # pyright: ignore
    expected = decode(path, (3, 6, 6), turn=False)
    assert np.array_equal(images.read([0])[0].numpy(), expected)
    assert not np.array_equal(decode(path, (3, 6, 6)), expected)


# Transparency


def transparent(mode: str) -> Image.Image:
    """Four pixels of which the first is transparent and the others are black."""
    if mode == "P":
        image = Image.new("P", (2, 2), 0)
        image.putpalette([0] * 768)
        image.putpixel((0, 0), 5)
        image.info["transparency"] = 5
    elif mode in ("RGB", "L"):
        image = Image.new(mode, (2, 2), 0)
        image.putpixel((0, 0), (1, 2, 3) if mode == "RGB" else 9)
        image.info["transparency"] = (1, 2, 3) if mode == "RGB" else 9
    else:
        image = Image.new(mode, (2, 2), (0, 255) if mode == "LA" else (0, 0, 0, 255))
        image.putpixel((0, 0), (99, 0) if mode == "LA" else (99, 98, 97, 0))
    return image


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA", "RGB", "L"])
@pytest.mark.parametrize("background", [(0, 0, 0), WHITE, PINK])
def test_transparent_pixels_lie_on_the_background(
    tmp_path: Path, mode: str, background: tuple[int, int, int]
) -> None:
    image = transparent(mode)
    image.save(tmp_path / "x.png", transparency=image.info.get("transparency"))
    pixels = decode(tmp_path / "x.png", (3, 2, 2), background)
    assert pixels[:, 0, 0].tolist() == list(background)
    assert (pixels[:, 1] == 0).all()
    grey = decode(tmp_path / "x.png", (1, 2, 2), background)
    assert grey[0, 0, 0] == Image.new("RGB", (1, 1), background).convert("L").getpixel((0, 0))


def test_half_transparent_pixels_are_mixed_with_the_background(tmp_path: Path) -> None:
    Image.new("RGBA", (1, 1), (255, 255, 255, 51)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", (3, 1, 1)).flatten().tolist() == [51] * 3
    assert decode(tmp_path / "x.png", (3, 1, 1), WHITE).flatten().tolist() == [255] * 3


@pytest.mark.parametrize(
    ("value", "expected"),
    [("white", WHITE), ("#fa6496", PINK), ([250, 100, 150], PINK), ((0, 0, 0), (0, 0, 0))],
)
def test_colours(value: str | Sequence[int], expected: tuple[int, int, int]) -> None:
    assert colour(value) == expected


@pytest.mark.parametrize(
    "value", ["whte", "#ffffff80", [1, 2], [0, 0, 256], [0, -1, 0], [0, 0.5, 0], [True, 0, 0], 3]
)
def test_other_backgrounds_are_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset\.background must be the name of a colour") as e:
        ImageFolder(background=value)
    assert str(e.value).endswith(f"got {value}")


def test_the_background_is_part_of_what_the_cache_knows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "data" / name / f"{i}.png")
    for value, expected in ((None, 0.0), ("white", 1.0)):
        settings = {"root": str(tmp_path / "data"), "cache": str(tmp_path / "cache")}
        data = ImageFolder(**settings, background=value).open(0)  # pyright: ignore
        assert data.mean == (expected,) * 3
