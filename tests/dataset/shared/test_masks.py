"""Images and masks are scaled and cropped alike."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.core.errors import DataError
from trainer.dataset.shared.image_files import decode
from trainer.dataset.shared.masks import MaskDataset, decode_mask


def palette(ids: np.ndarray) -> Image.Image:
    """Class ids as in the masks of VOC, which have a palette without meaning."""
    image = Image.fromarray(ids.astype(np.uint8)).convert("P")
    image.putdata(ids.flatten().tolist())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    return image


def test_a_mask_by_hand(tmp_path: Path) -> None:
    """4 × 8 pixels, cropped to the middle four columns, then halved; ids are not blended."""
    ids = np.zeros((4, 8), int)
    ids[:, 2:4], ids[:2, 4:6], ids[2:, 4:6] = 7, 20, 255
    palette(ids).save(tmp_path / "x.png")
    assert decode_mask(tmp_path / "x.png", 4)[:, 0].tolist() == [7] * 4
    assert decode_mask(tmp_path / "x.png", 2).tolist() == [[7, 20], [7, 255]]


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (17, 23), (64, 64)])
@pytest.mark.parametrize("size", [16, 32, 100])
def test_a_mask_stays_aligned_with_its_image(
    tmp_path: Path, shape: tuple[int, int], size: int
) -> None:
    """The image shows its mask, white for class 1: they agree except at blurred edges."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ids = ((y - shape[0] * 0.45) ** 2 + (x - shape[1] * 0.55) ** 2 < 12**2).astype(np.uint8)
    palette(ids).save(tmp_path / "mask.png")
    Image.fromarray(ids * 255).convert("RGB").save(tmp_path / "image.png")
    mask = decode_mask(tmp_path / "mask.png", size)
    image = torch.tensor(decode(tmp_path / "image.png", (3, size, size))[0]) / 255
    assert mask.unique().tolist() == [0, 1]
    assert ((image > 0.98) <= (mask == 1)).all()
    assert ((image < 0.02) <= (mask == 0)).all()
    assert (image - mask.float()).abs().mean() < 0.06


def test_masks_are_decoded_in_order(tmp_path: Path) -> None:
    paths = []
    for i in range(30):
        paths.append(tmp_path / f"{i}.png")
        palette(np.full((3 + i % 4, 5), i)).save(paths[-1])
    masks = MaskDataset(size=4).masks(paths)
    assert masks.shape == (30, 4, 4)
    assert masks.dtype == torch.uint8
    assert masks[:, 1, 2].tolist() == list(range(30))


def test_an_invalid_mask_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(DataError, match=r"x\.png: a mask .* one byte per pixel, got mode RGB"):
        decode_mask(path, 4)
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"cannot read the image .*x\.png"):
        decode_mask(path, 4)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"dataset\.size"):
        MaskDataset(size=0)
