"""Class folders: trees, sizes, image modes and damaged files."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder as Torchvisions

from trainer.core.errors import DataError
from trainer.dataset import Data
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.image_files import ImageFiles, decode


def save(path: Path, image: Image.Image, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **settings)
    return path


def constant(path: Path, value: int, size: tuple[int, int] = (6, 4)) -> Path:
    """A uniform grey image; size is (width, height)."""
    return save(path, Image.new("L", size, value))


def tree(root: Path, classes: dict[str, int], size: tuple[int, int] = (6, 4)) -> Path:
    """Class folders with `classes[name]` images, each with its own grey level."""
    for i, (name, number) in enumerate(classes.items()):
        for j in range(number):
            constant(root / name / f"{j:03}.png", 10 * i + j, size)
    return root


def opened(root: Path, seed: int = 0, **settings: Any) -> Data:
    return ImageFolder(root=str(root), **settings).open(seed)


# Trees


def test_a_flat_tree_is_divided_into_three_splits(tmp_path: Path) -> None:
    data = opened(tree(tmp_path, {"cat": 20, "dog": 10}), val_fraction=0.25)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (18, 6, 6)  # 6 of 30, 6 of 24
    assert data.class_counts().tolist() == [12, 6]
    assert data.shape == (3, 4, 4)  # C, H, W: the median short side
    ids = torch.cat([data.train.ids, data.val.ids, data.test.ids])
    assert sorted(ids.tolist()) == list(range(30))
    assert torch.equal(data.test.ids, opened(tmp_path, seed=9, val_fraction=0.25).test.ids)


def test_files_and_labels_are_those_of_torchvision(tmp_path: Path) -> None:
    tree(tmp_path, {"b": 4, "a": 3, "c": 5})
    save(tmp_path / "a" / "deep" / "er" / "x.png", Image.new("L", (6, 4), 99))
    reference = Torchvisions(str(tmp_path))
    split = ImageFolder(root=str(tmp_path)).load().train
    names = {(str(path), int(y)) for path, y in zip(split.images.paths, split.labels, strict=True)}  # pyright: ignore
    assert names == set(reference.samples)
    assert split.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 5


def test_a_tree_with_train_val_and_test(tmp_path: Path) -> None:
    tree(tmp_path / "train", {"a": 8, "b": 8})
    tree(tmp_path / "val", {"a": 2, "b": 1})
    tree(tmp_path / "test", {"b": 3})
    data = opened(tmp_path)
    assert (len(data.train), len(data.val), len(data.test)) == (16, 3, 3)
    assert data.test.labels.tolist() == [1, 1, 1]  # b is class 1, although a has no images
    assert data.val.labels.tolist() == [0, 0, 1]


def test_a_tree_with_train_and_test(tmp_path: Path) -> None:
    tree(tmp_path / "train", {"a": 10, "b": 10})
    tree(tmp_path / "test", {"a": 5, "b": 5})
    data = opened(tmp_path, val_fraction=0.2)
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 10)


def test_a_tree_with_only_train(tmp_path: Path) -> None:
    data = opened(tree(tmp_path / "train", {"a": 10, "b": 10}).parent, val_fraction=0.25)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 4, 4)


def test_other_files_and_hidden_folders_are_ignored(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 5, "b": 5, ".cache": 2})
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "README.md").write_text("words")
    data = opened(tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.train.labels) == 10


def test_upper_case_suffixes_are_accepted(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 2, "b": 3})
    save(tmp_path / "a" / "X.JPG", Image.new("L", (6, 4)), format="JPEG")
    assert len(opened(tmp_path).train.labels) == 6


def write_nothing(root: Path) -> None:
    root.mkdir(exist_ok=True)


def write_empty_class(root: Path) -> None:
    tree(root, {"a": 3})
    (root / "b").mkdir()


def write_unknown_class(root: Path) -> None:
    tree(root / "train", {"a": 3, "b": 3})
    tree(root / "test", {"a": 1, "c": 1})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_nothing, "{root} has no class folders"),
        (write_empty_class, "class folder {root}/b has no images"),
        (write_unknown_class, r"{root}/test has classes without training images: ['c']"),
        (lambda root: None, "no folder {root}; give the folder that contains the class folders"),
    ],
)
def test_invalid_trees_are_errors(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    root = tmp_path / "data"
    write(root)
    with pytest.raises(DataError) as caught:
        opened(root)
    assert message.format(root=root) in str(caught.value)


# Sizes


def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = save(tmp_path / "x.png", Image.fromarray(pixels))
    assert np.array_equal(decode(path, (3, 5, 7)), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("size", "shape"),
    [("auto", (4, 4)), (None, (4, 6)), (5, (5, 5)), ([3, 9], (3, 9)), ([7], (7, 7))],
)
def test_all_images_are_converted_to_one_size(
    tmp_path: Path, size: int | list[int] | str | None, shape: tuple[int, int]
) -> None:
    tree(tmp_path, {"a": 3})
    for i, wide in enumerate([(1, 1), (300, 2), (2, 300), (5, 5)]):
        constant(tmp_path / "b" / f"{i}.png", 200, wide)
    split = ImageFolder(root=str(tmp_path), size=size).load().train
    images = split.images.read(range(7))
    assert images.shape == (7, 3, *shape)
    assert (images[3:] == 200).all()  # nothing is padded


def test_the_centre_is_cropped(tmp_path: Path) -> None:
    """12 × 4 pixels, the middle third white: cropped to 4 × 4, all white; scaled to 2 × 2, too."""
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 255
    path = save(tmp_path / "x.png", Image.fromarray(pixels))
    assert (decode(path, (1, 4, 4)) == 255).all()
    assert (decode(path, (1, 2, 2)) > 220).all()
    path = save(tmp_path / "y.png", Image.fromarray(pixels.T.copy()))
    assert (decode(path, (1, 4, 4)) == 255).all()


@pytest.mark.parametrize("size", [0, -1, [], [3, 0], [1, 2, 3], "large", 2.5, True])
def test_bad_sizes_are_named(size: Any) -> None:
    with pytest.raises(ValueError, match=r"dataset\.size must be"):
        ImageFolder(size=size)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_bad_channels_are_named(channels: int) -> None:
    with pytest.raises(ValueError, match=r"dataset\.channels must be 1 or 3"):
        ImageFolder(channels=channels)


# Modes: each image has one colour whose RGB is known.


def sixteen(value: int) -> Image.Image:
    return Image.fromarray(np.full((4, 4), value, np.uint16))


def palette(rgb: tuple[int, int, int], transparent: bool = False) -> Image.Image:
    image = Image.new("P", (4, 4), 3)
    image.putpalette([0] * 9 + list(rgb) + [0] * (3 * 252))
    if transparent:
        image.info["transparency"] = 3
    return image


GREY = (100, 100, 100)
CASES: dict[str, tuple[str, Image.Image, tuple[int, int, int]]] = {
    "grey": ("png", Image.new("L", (4, 4), 100), GREY),
    "rgb": ("png", Image.new("RGB", (4, 4), (10, 20, 30)), (10, 20, 30)),
    "1 bit": ("png", Image.new("1", (4, 4), 1), (255, 255, 255)),
    "palette": ("png", palette((10, 20, 30)), (10, 20, 30)),
    "palette, transparent": ("png", palette((10, 20, 30), transparent=True), (0, 0, 0)),
    "gif": ("gif", palette((10, 20, 30)), (10, 20, 30)),
    "16 bit": ("png", sixteen(100 * 257), GREY),
    "16 bit, dark": ("png", sixteen(257), (1, 1, 1)),
    "16 bit, white": ("png", sixteen(65535), (255, 255, 255)),
    "16 bit tiff": ("tif", sixteen(100 * 257), GREY),
    "float tiff": ("tif", Image.fromarray(np.full((4, 4), 0.4, np.float32)), (102, 102, 102)),
    "32 bit tiff": ("tif", Image.fromarray(np.full((4, 4), 100 * 257, np.int32)), GREY),
    "alpha, opaque": ("png", Image.new("RGBA", (4, 4), (10, 20, 30, 255)), (10, 20, 30)),
    "alpha, half": ("png", Image.new("RGBA", (4, 4), (200, 100, 50, 128)), (100, 50, 25)),
    "alpha, clear": ("png", Image.new("RGBA", (4, 4), (200, 100, 50, 0)), (0, 0, 0)),
    "grey and alpha": ("png", Image.new("LA", (4, 4), (200, 128)), GREY),
    "cmyk": ("tif", Image.new("CMYK", (4, 4), (255, 0, 0, 0)), (0, 255, 255)),
    "cmyk, black": ("tif", Image.new("CMYK", (4, 4), (0, 0, 0, 155)), GREY),
}


@pytest.mark.parametrize("name", CASES)
def test_every_mode_is_converted_to_rgb_and_grey(tmp_path: Path, name: str) -> None:
    """To RGB, and to grey by ITU-R 601: 0.299 R + 0.587 G + 0.114 B."""
    suffix, image, rgb = CASES[name]
    path = save(tmp_path / f"x.{suffix}", image)
    pixels = torch.tensor(decode(path, (3, 4, 4)))
    assert pixels.dtype == torch.uint8
    assert (pixels.float() - torch.tensor(rgb)[:, None, None]).abs().max() <= 1
    grey = torch.tensor(decode(path, (1, 4, 4)))
    assert grey.shape == (1, 4, 4)
    luminance = float(np.dot(rgb, [0.299, 0.587, 0.114]))
    assert (grey.float() - luminance).abs().max() <= 1


def test_jpeg_in_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=95)
    pixels = torch.tensor(decode(path, (3, 8, 8))).float()
    assert (pixels - torch.tensor([255.0, 0, 0])[:, None, None]).abs().max() <= 4


def test_16_bits_are_scaled_rather_than_clipped(tmp_path: Path) -> None:
    """A ramp to 65535 stays a ramp; convert("RGB") would make it white."""
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    path = save(tmp_path / "x.png", Image.fromarray(ramp))
    assert decode(path, (1, 4, 4)).flatten().tolist() == [17 * i for i in range(16)]


# Damage


def damaged_tree(root: Path, number: int, damage: dict[str, bytes | None]) -> Path:
    """Two classes of `number` images; `damage` replaces bytes, None keeps the first half."""
    tree(root, {"a": number, "b": number})
    for name, body in damage.items():
        whole = (root / name).read_bytes()
        (root / name).write_bytes(whole[: len(whole) // 2] if body is None else body)
    return root


@pytest.mark.parametrize("body", [b"not an image", b"", None])
def test_under_raise_the_file_is_named(tmp_path: Path, body: bytes | None) -> None:
    damaged_tree(tmp_path, 10, {"b/004.png": body})
    images = ImageFolder(root=str(tmp_path)).load().train.images
    with pytest.raises(DataError, match="cannot read the image") as caught:
        images.read(range(20))
    assert str(tmp_path / "b" / "004.png") in str(caught.value)
    assert "np.str_" not in str(caught.value)


def test_under_raise_the_first_file_is_checked_too(tmp_path: Path) -> None:
    damaged_tree(tmp_path, 10, {"a/000.png": b"not an image"})
    with pytest.raises(DataError, match=r"000\.png"):
        opened(tmp_path, size=None)


@pytest.mark.parametrize("body", [b"not an image", None])
def test_skip_leaves_out_and_lists_unreadable_files(tmp_path: Path, body: bytes | None) -> None:
    """The source has no row for the file, so reading all of it works."""
    damaged_tree(tmp_path, 50, {"b/004.png": body})
    split = ImageFolder(root=str(tmp_path), corrupt="skip").load().train
    assert isinstance(split.images, ImageFiles)
    assert split.images.skipped == [str(tmp_path / "b" / "004.png")]
    assert len(split) == len(split.images) == len(split.labels) == 99
    assert split.labels.bincount().tolist() == [50, 49]
    values = split.images.read(range(99))[:, 0, 0, 0]
    assert values.tolist() == [*range(50), *(10 + j for j in range(50) if j != 4)]


def test_skip_uses_the_size_of_the_first_readable_file(tmp_path: Path) -> None:
    damaged_tree(tmp_path, 50, {"a/000.png": b"not an image"})
    data = opened(tmp_path, corrupt="skip", size=None)
    assert data.shape == (3, 4, 6)
    assert len(data.train.labels) == 99


@pytest.mark.parametrize(("number", "bad"), [(49, 1), (50, 2), (2, 1)])
def test_skip_allows_at_most_one_per_cent(tmp_path: Path, number: int, bad: int) -> None:
    damaged_tree(tmp_path, number, {f"b/{i:03}.png": b"" for i in range(bad)})
    with pytest.raises(DataError, match=f"{bad} of {2 * number} images cannot be read, such as"):
        opened(tmp_path, corrupt="skip")


def test_skip_changes_nothing_without_damage(tmp_path: Path) -> None:
    tree(tmp_path, {"a": 5, "b": 5})
    first, second = (opened(tmp_path, corrupt=policy) for policy in ("raise", "skip"))
    assert torch.equal(first.train.ids, second.train.ids)
    assert torch.equal(first.train.labels, second.train.labels)
    assert second.train.images.skipped == []  # pyright: ignore


def png(width: int, height: int) -> bytes:
    """A PNG header that declares width x height pixels; the rest is missing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        sizes = (struct.pack(">I", number) for number in (len(body), zlib.crc32(name + body)))
        return next(sizes) + name + body + next(sizes)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100)))


def test_a_decompression_bomb_is_damaged(tmp_path: Path) -> None:
    """No memory is allocated for the 40 GB that the header declares."""
    damaged_tree(tmp_path, 10, {"b/004.png": png(200_000, 65_000)})
    with pytest.raises(DataError, match=r"cannot read the image .*004\.png: .*decompression bomb"):
        ImageFolder(root=str(tmp_path)).load().train.images.read(range(20))


def test_an_extremely_elongated_image_is_damaged(tmp_path: Path) -> None:
    """Scaled to cover 64 x 64, it would have 4 million columns."""
    path = save(tmp_path / "thread.png", Image.new("L", (60_000, 1)))
    with pytest.raises(DataError, match=r"thread\.png: 60000x1 .* 64x64"):
        decode(path, (1, 64, 64))
    assert decode(path, (1, 1, 60_000)).shape == (1, 1, 60_000)
