"""Photographs as people have them: of many sizes and modes, some in odd places, one damaged."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("Kätzchen", "dog", "猫")
PER_CLASS = 18
COLOURS = ((200, 60, 60), (60, 180, 60), (60, 60, 200))
ORIENTATION = 0x0112  # tag of EXIF; 6: the camera was turned, so the picture is stored on its side


def make_photos(root: Path) -> None:
    """Write 54 photographs of three classes, and files that are none; the same ones each time."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        folder = root / name
        (folder / "holiday 2019").mkdir(parents=True)
        for i in range(PER_CLASS):
            photo = photograph(label, rng)
            save(photo, folder / ("holiday 2019" if i % 5 == 4 else "."), i)
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (folder / "._0.jpg").write_bytes(b"\0\5\26\7")
    (root / "dog" / "notes.txt").write_text("from the neighbour\n")
    (root / ".thumbnails").mkdir()


def photograph(label: int, rng: np.random.Generator) -> Image.Image:
    """A picture, 48 to 96 pixels a side, whose class can be told by its colour."""
    height, width = rng.integers(48, 97, 2)
    noise = rng.normal(0, 40, (height, width, 3)) + COLOURS[label]
    return Image.fromarray(noise.clip(0, 255).astype(np.uint8))


def save(photo: Image.Image, folder: Path, i: int) -> None:
    """Write a picture in one of nine ways, by its number."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    match i % 9:
        case 0:
            photo.rotate(90, expand=True).save(folder / f"{i}.jpg", exif=exif)
        case 1:
            photo.convert("L").save(folder / f"IMG {i}.JPG")
        case 2:
            photo.putalpha(Image.linear_gradient("L").resize(photo.size))
            photo.save(folder / f"{i}.png")
        case 3:
            photo.quantize(64).save(folder / f"{i}.gif")
        case 4:
            photo.save(folder / f"{i}.webp")
        case 5:
            photo.convert("CMYK").save(folder / f"{i}.jpeg")
        case 6:
            photo.save(folder / f"größe {i}.bmp")
        case 7:
            photo.convert("I;16").save(folder / f"{i}.tif")
        case _:
            photo.save(folder / f"{i}.jpg", quality=90)
