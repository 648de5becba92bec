"""Fingerprints change with the data, and with nothing else."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from trainer.dataset import Data, Split
from trainer.dataset.base import Pixels
from trainer.dataset.digits import Digits
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.fingerprint import fingerprint, of_tensor


def changed(one: Data, other: Data) -> set[str]:
    """The names of the fingerprints that differ."""
    first, second = fingerprint(one), fingerprint(other)
    assert first.keys() == second.keys()
    return {name for name in first if first[name] != second[name]}


def with_pixels(data: Data, pixels: Tensor) -> Data:
    images = Pixels(pixels)
    train, val, test = (replace(s, images=images) for s in (data.train, data.val, data.test))
    return replace(data, train=train, val=val, test=test)


def test_the_same_data_have_the_same_fingerprint() -> None:
    first, second = fingerprint(Digits().open(0)), fingerprint(Digits().open(0))
    assert first == second
    assert list(first) == ["classes", "labels", "splits", "pixels"]
    assert all(len(value) == 16 and int(value, 16) for value in first.values())


@pytest.mark.parametrize(
    ("other", "names"),
    [
        (Digits(classes=[0, 1]), {"classes", "labels", "splits"}),
        (Digits(subset=100), {"splits"}),
        (Digits(label_noise=0.1), {"labels"}),
        (Digits(val_fraction=0.2), {"splits"}),
    ],
)
def test_settings_change_only_the_fingerprints_they_affect(other: Digits, names: set[str]) -> None:
    assert changed(Digits().open(0), other.open(0)) == names


def test_the_seed_changes_the_splits() -> None:
    assert changed(Digits().open(0), Digits().open(1)) == {"splits"}


def test_class_names_count_even_if_ids_do_not_change() -> None:
    data = Digits().open(0)
    renamed = replace(data, classes=("zero", *data.classes[1:]))
    assert changed(data, renamed) == {"classes"}


def test_a_flipped_bit_and_swapped_images_change_the_pixels() -> None:
    data = Digits().open(0)
    pixels = data.train.images.read(range(1797))
    assert changed(data, with_pixels(data, pixels.clone())) == set()
    for place in (0, 57_503, pixels.numel() - 1):  # the last lies outside the whole blocks
        flipped = pixels.clone()
        flipped.view(-1)[place] ^= 1
        assert changed(data, with_pixels(data, flipped)) == {"pixels"}
    order = torch.arange(1797)
    order[[3, 900]] = order[[900, 3]]
    assert changed(data, with_pixels(data, pixels[order])) == {"pixels"}


@pytest.mark.parametrize("target", ["mask", "box", "clean"])
def test_every_type_of_label_is_covered(target: str) -> None:
    settings = {"target": target, "digits": 1, "examples": 40}
    data = DigitsCanvas(**settings).open(0)  # pyright: ignore
    assert changed(data, DigitsCanvas(**settings).open(0)) == set()  # pyright: ignore
    labels = data.train.labels.clone()
    labels.view(-1)[-1] += 1
    assert changed(data, replace(data, train=replace(data.train, labels=labels))) == {"labels"}


@pytest.mark.parametrize(
    "values", [torch.zeros(()), torch.zeros(0), torch.zeros(3, dtype=torch.bool)]
)
def test_type_and_shape_count(values: Tensor) -> None:
    assert len({of_tensor(values), of_tensor(values[None]), of_tensor(values.int())}) == 3


def test_a_view_has_the_fingerprint_of_its_values() -> None:
    values = torch.arange(30_000).reshape(100, 300)
    assert of_tensor(values.T) == of_tensor(values.T.contiguous()) != of_tensor(values)


def photos(root: Path) -> Path:
    for i in range(40):
        path = root / "ab"[i // 20] / f"{i:02}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    return root


def opened(root: Path, **settings: object) -> Data:
    return ImageFolder(root=str(root), **settings).open(0)  # pyright: ignore


def swap(root: Path) -> None:
    """Swap two files, which keep their modification times."""
    one, other = root / "a" / "03.bmp", root / "b" / "33.bmp"
    one.rename(root / "x")
    other.rename(one)
    (root / "x").rename(other)


def replaced(root: Path) -> None:
    Image.new("RGB", (8, 8), (255, 0, 0)).save(root / "a" / "03.bmp")


def renamed(root: Path) -> None:
    (root / "a" / "03.bmp").rename(root / "a" / "03x.bmp")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (swap, {"times", "contents"}),
        (replaced, {"times", "contents"}),
        (renamed, {"files"}),
        (lambda root: os.utime(root / "a" / "03.bmp", (0, 0)), {"times"}),
    ],
)
def test_changed_files_change_the_fingerprint(
    tmp_path: Path, change: Callable[[Path], None], names: set[str]
) -> None:
    root = photos(tmp_path / "photos")
    before = opened(root)
    prints = fingerprint(before)
    assert list(prints) == ["classes", "labels", "splits", "files", "times", "contents"]
    change(root)
    assert changed(before, opened(root)) == names


def test_location_cache_and_permissions_do_not_matter(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    expected = fingerprint(opened(root))
    shutil.copytree(root, tmp_path / "elsewhere" / "copy")  # with the modification times
    assert fingerprint(opened(tmp_path / "elsewhere" / "copy")) == expected
    assert fingerprint(opened(root, cache=str(tmp_path / "cache"))) == expected
    os.chmod(root / "a" / "03.bmp", 0o600)  # noqa: PTH101
    assert fingerprint(opened(root)) == expected


def test_a_missing_file_changes_the_fingerprint(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    whole, listed = opened(root), opened(root)
    fingerprint(whole)  # reads the files of `whole` before the removal, those of `listed` after it
    (root / "a" / "03.bmp").unlink()
    assert changed(whole, listed) == {"files", "times", "contents"}


def test_other_image_types_are_identified_by_number_and_shape(noise: Callable[..., Split]) -> None:
    class Own:
        shape = (1, 6, 5)

        def __len__(self) -> int:
            return 20

        def read(self, ids: list[int]) -> Tensor:
            raise AssertionError("read for a fingerprint")

    split = replace(noise(20), images=Own())
    data = Data(split, split, split, ("a", "b", "c"), (0.5,), (0.5,))
    assert list(fingerprint(data)) == ["classes", "labels", "splits", "number"]
