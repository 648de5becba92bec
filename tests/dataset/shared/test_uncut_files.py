"""Images that keep their aspect ratio: pieces as torchvision cuts them out of the original."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import ExifTags, Image
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms import functional as reference
from torchvision.transforms.functional import pil_to_tensor

from trainer.augmentation.random_crop import RandomCrop
from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.augmentation.scale_jitter import ScaleJitter
from trainer.core.errors import DataError
from trainer.core.seed import ExampleRandom
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut, Cutter, Window, middle, piece

Decode = Literal["exact", "fast"]
SIDE = 48  # of what the model sees
CUT = Cut(RandomResizedCrop(size=SIDE), 3, 1, list(range(8)))


def save(path: Path, mode: str, size: tuple[int, int], orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    photo = Image.fromarray(load_sample_image("china.jpg")).resize(size, Image.Resampling.BICUBIC)
    path.parent.mkdir(exist_ok=True)
    photo.convert(mode).save(path, quality=95, exif=exif)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph stored in each of eight orientations; grey, CMYK and a PNG among them."""
    folder = tmp_path_factory.mktemp("photos")
    for i in range(8):
        mode = {2: "L", 5: "CMYK"}.get(i, "RGB")
        suffix = "png" if i == 6 else "jpg"
        save(folder / "ab"[i % 2] / f"{i}.{suffix}", mode, (160 + 7 * i, 120), i + 1)
    return folder


def uncut(root: Path, *, size: int | None = None, decode: Decode = "exact") -> UncutFiles:
    folder = ImageFolder(root=str(root), cache=None, fit="uncut", crop=SIDE, size=size)
    images = replace(folder, decode=decode).load().train.images
    assert isinstance(images, UncutFiles)
    return images


def original(path: str) -> Image.Image:
    """The picture upright in RGB, as a recipe with torchvision would open it."""
    with Image.open(path) as image:
        turned = {i: list(Image.Transpose)[t] for i, t in TURNS.items()}
        own = image.getexif().get(ExifTags.Base.Orientation, 1)
        return (image.transpose(turned[own]) if own > 1 else image).convert("RGB")


TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # by EXIF: the number in Image.Transpose


def windows_of(images: UncutFiles, cutter: Cutter = CUT.cutter) -> list[Window]:
    return replace(CUT, cutter=cutter).windows([tuple(s) for s in images.stored_sizes.tolist()])


def difference(got: Tensor, want: Image.Image) -> Tensor:
    return (got.int() - pil_to_tensor(want).int()).abs().float()


@pytest.mark.parametrize(("decode", "most"), [("exact", 1), ("fast", 1)])
def test_pieces_are_torchvisions_of_the_original(root: Path, decode: Decode, most: int) -> None:
    images = uncut(root, decode=decode)
    got = images.pieces(range(8), CUT)
    for row, window in enumerate(windows_of(images)):
        assert not window.whole
        box = window.top, window.left, window.height, window.width
        picture = original(str(images.paths[row]))
        want = reference.resized_crop(picture, *box, size=[SIDE, SIDE])  # pyright: ignore
        assert difference(got[row], want).max() <= most


def test_a_piece_of_a_large_photo_is_decoded_reduced(tmp_path: Path) -> None:
    """Within 1.5 of 255 on average, of the pieces at least 1.5 times as large after it."""
    for name in ("a", "b"):
        save(tmp_path / name / "x.jpg", "RGB", (640, 427), 6)
    images = uncut(tmp_path, decode="fast")
    cut = replace(CUT, cutter=RandomResizedCrop(size=SIDE, scale=(0.3, 1.0)))
    for epoch in range(8):
        own = replace(cut, epoch=epoch)
        got = images.pieces([0, 1], own)
        windows = own.windows([(640, 427)] * 2)
        assert min(w.height for w in windows) > 1.5 * 2 * SIDE
        for row, w in enumerate(windows):
            box = w.top, w.left, w.height, w.width
            picture = original(str(images.paths[row]))
            want = reference.resized_crop(picture, *box, size=[SIDE, SIDE])  # pyright: ignore
            found = difference(got[row], want)
            assert 0 < found.mean() < 1.5


@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_evaluation_sees_the_middle_as_published(root: Path, decode: Decode) -> None:
    """torchvision's Resize and CenterCrop, but the long side is rounded: 48 of 55, or 0.875."""
    images = uncut(root, decode=decode)
    assert images.shape == (3, 55, 55)
    got = images.read(range(8))
    for row, (height, width) in enumerate(images.stored_sizes.tolist()):
        size = [round(side * 55 / min(height, width)) for side in (height, width)]
        top, left = (side - 55 for side in size)
        picture = reference.resize(original(str(images.paths[row])), size)  # pyright: ignore
        want = reference.crop(picture, top // 2, left // 2, 55, 55)  # pyright: ignore
        assert difference(got[row], want).max() <= 1  # pyright: ignore


def test_the_short_side_is_stored(root: Path) -> None:
    """Then cut: by memory and workers alike, from the same pixels."""
    images = uncut(root, size=60)
    assert (images.stored_sizes.min(1) == 60).all()
    got = images.pieces(range(8), CUT)
    for row, window in enumerate(windows_of(images)):
        whole = images.picture(row)
        assert whole.shape[1:] == tuple(images.stored_sizes[row])
        assert torch.equal(got[row], piece(whole, window))
    height, width = images.stored_sizes[3].tolist()
    window = middle((height, width), (55, 55))
    assert torch.equal(images.read([3])[0], piece(images.picture(3), window))


@pytest.mark.parametrize("cutter", [RandomCrop(size=SIDE, padding=8), ScaleJitter(size=SIDE)])
def test_other_augmentations_cut_pieces_too(root: Path, cutter: Cutter) -> None:
    """As they do on the device, from the same numbers, where the image is no other."""
    images, row = uncut(root, size=60), 4
    window = replace(CUT, cutter=cutter, positions=[row])
    got = images.pieces([row], window)[0]
    whole = images.picture(row)[None].float() / 255
    draws = ExampleRandom(CUT.seed, CUT.epoch, torch.tensor([row]))
    want = cutter(whole, draws)[0] * 255  # pyright: ignore
    assert (got - want).abs().max() <= 1.01
    assert got.shape == (3, SIDE, SIDE)


def test_each_rows_window_depends_on_nothing_else(root: Path) -> None:
    images = uncut(root)
    together = images.pieces(range(8), CUT)
    alone = images.pieces([5], replace(CUT, positions=[5]))
    assert torch.equal(together[5], alone[0])
    assert not torch.equal(together[5], images.pieces([5], replace(CUT, positions=[6]))[0])


def test_windows_are_drawn_as_on_the_device() -> None:
    draws = [ExampleRandom(1, 2, torch.arange(500)) for _ in range(2)]
    crop = RandomResizedCrop(size=9)
    want = torch.stack(crop.draw(draws[0], (30, 41)), 1)
    found = crop.windows(draws[1], torch.full((500,), 30), torch.full((500,), 41))
    assert [[w.top, w.left, w.height, w.width] for w in found] == want.tolist()
    assert draws[0].calls == draws[1].calls


def test_the_largest_central_box_where_none_fits() -> None:
    crop = RandomResizedCrop(size=9, scale=(1.0, 1.0))
    draws = ExampleRandom(1, 2, torch.arange(2))
    found = crop.windows(draws, torch.tensor([10, 90]), torch.tensor([90, 10]))
    assert [(w.top, w.left, w.height, w.width) for w in found] == [(0, 38, 10, 13), (38, 0, 13, 10)]


def test_a_damaged_file_is_named_among_several(root: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "x.jpg", "RGB", (90, 60), 1)
    path = tmp_path / "a" / "x.jpg"
    path.write_bytes(path.read_bytes()[:900])
    for decode in ("exact", "fast"):
        images = uncut(tmp_path, decode=decode)
        with pytest.raises(DataError, match=r"\Acannot read the image [^\n]*a/x\.jpg"):
            images.pieces([1, 0], CUT)


def test_a_small_image_is_refused_by_random_crop(root: Path) -> None:
    cutter = RandomCrop(size=130, padding=1)
    with pytest.raises(DataError, match=r"random_crop\.size=130x130 is larger than an image"):
        uncut(root).pieces([0], replace(CUT, cutter=cutter))


def test_a_window_beyond_the_border_is_black() -> None:
    pixels = torch.arange(1, 13, dtype=torch.uint8).view(1, 3, 4)
    window = Window(-1, 2, 3, 4, (4, 5), whole=True)
    want = torch.zeros(1, 4, 5, dtype=torch.uint8)
    want[0, :2, 2:] = pixels[0, 1:, :3]
    assert torch.equal(piece(pixels, window), want)
    outside = piece(pixels, replace(window, top=9))
    assert not outside.any()
