"""loader.cache=mmap: the same batches from a file, which is read as untrusted data."""

import os
import threading
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import digest, fitted

from trainer.core.errors import ConfigError, DataError, DiskError, Interrupted
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.disk_images import MAGIC
from trainer.dataset.shared.image_files import ImageFiles
from trainer.loader import Feed
from trainer.loader.memory import Memory

CPU = torch.device("cpu")
HEAD = len(MAGIC) + 32  # bytes before the images
PIXELS = 3 * 8 * 8  # bytes of an image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of twelve images of noise, 8 x 8 pixels each."""
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / "ab"[i // 12] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of all images that are decoded from now on."""
    ids: list[int] = []
    read = ImageFiles.read

    def noted(images: ImageFiles, rows: range) -> torch.Tensor:
        ids.extend(rows)
        return read(images, rows)

    monkeypatch.setattr(ImageFiles, "read", noted)
    return ids


def split_of(root: Path, cache: Path | None) -> Split:
    folder = ImageFolder(root=str(root), cache=None if cache is None else str(cache))
    return folder.load().train


def kept(root: Path, cache: Path | None) -> Feed:
    return Memory(workers=0, cache="mmap").open(split_of(root, cache), CPU)


def only_file(cache: Path) -> Path:
    (path,) = (cache / "trainer").iterdir()
    return path


def pixels(feed: Feed) -> torch.Tensor:
    """All images of a feed in order, in batches of five."""
    return torch.cat([batch.images for batch in feed.batches(Plan.of(torch.arange(24), 5))])


def plain() -> Plan:
    return Plan.of(torch.tensor([7, 3, 19, 7, 4, 12, 5, 18, 11, 6, 3] * 3), 4)


def blended() -> Plan:
    ids = torch.tensor([[7, 8], [3, 3], [19, 0], [23, 22], [1, 2]])
    shares = torch.tensor([0.25, 0.5, 0.1, 0.7, 1 / 3])
    return Plan.of(ids, 2, torch.stack([shares, 1 - shares], 1))


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("plan", [plain, blended])
def test_batches_are_those_of_pixels_in_memory(
    root: Path, tmp_path: Path, plan: Callable[[], Plan], start: int
) -> None:
    split, rows = split_of(root, tmp_path), plan()
    one = Memory(workers=0, cache="mmap").open(split, CPU).batches(rows, start)
    other = Memory(workers=0).open(split, CPU).batches(rows, start)
    number = 0
    for batch, reference in zip(one, other, strict=True):
        for a, b in zip(astuple(batch), astuple(reference), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
        number += 1
    assert number == rows.steps - start


def test_images_are_decoded_once_and_no_more(
    root: Path, tmp_path: Path, decoded: list[int]
) -> None:
    first = pixels(kept(root, tmp_path / "cache"))
    assert decoded == list(range(24))
    assert torch.equal(pixels(kept(root, tmp_path / "cache")), first)
    assert len(decoded) == 24
    path = only_file(tmp_path / "cache")
    assert path.stat().st_size == HEAD + 24 * (PIXELS + 4) + 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_changed_file_has_all_decoded_again(
    root: Path, tmp_path: Path, decoded: list[int]
) -> None:
    pixels(kept(root, tmp_path / "cache"))
    Image.new("RGB", (8, 8), "red").save(root / "b" / "20.png")
    assert pixels(kept(root, tmp_path / "cache"))[20, :, 0, 0].tolist() == [255, 0, 0]
    assert len(decoded) == 48
    only_file(tmp_path / "cache")


def test_a_damaged_image_is_decoded_again_and_said_once(
    root: Path, tmp_path: Path, decoded: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    first = pixels(kept(root, tmp_path / "cache"))
    with only_file(tmp_path / "cache").open("r+b") as file:
        for i in (3, 17):
            file.seek(HEAD + i * PIXELS + 50)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
    decoded.clear()
    assert torch.equal(pixels(kept(root, tmp_path / "cache")), first)
    assert sorted(decoded) == [3, 17]
    (said,) = capsys.readouterr().err.splitlines()
    assert "image 3 is damaged in" in said or "image 17 is damaged in" in said


@pytest.mark.parametrize("damage", ["cut", "longer", "key", "sums", "noise", "link"])
def test_a_file_that_is_not_whole_is_made_again(
    root: Path, tmp_path: Path, decoded: list[int], damage: str
) -> None:
    first = pixels(kept(root, tmp_path / "cache"))
    path = only_file(tmp_path / "cache")
    content = bytearray(path.read_bytes())
    if damage == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    else:
        content[20 if damage == "key" else HEAD + 24 * PIXELS] ^= damage in ("key", "sums")
        cut = {"cut": content[:-1], "longer": content + b"\0", "noise": b"noise"}
        path.write_bytes(cut.get(damage, content))
    assert torch.equal(pixels(kept(root, tmp_path / "cache")), first)
    assert len(decoded) == 48
    assert path.is_file()
    assert not path.is_symlink()


def test_an_unreadable_image_leaves_no_file(root: Path, tmp_path: Path) -> None:
    (root / "b" / "20.png").write_bytes(b"noise")
    with pytest.raises(DataError, match=r"cannot read the image .*20\.png"):
        kept(root, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "trainer").iterdir())


def test_what_cannot_be_kept_is_refused(
    root: Path, tmp_path: Path, noise: Callable[..., Split], decoded: list[int]
) -> None:
    with pytest.raises(ConfigError, match=r"loader\.cache=mmap keeps .*; set dataset\.cache to"):
        kept(root, None)
    with pytest.raises(ConfigError, match="are in memory already: leave it out"):
        Memory(cache="mmap").open(noise(4, (1, 2, 2)), CPU)
    folder = tmp_path / "open" / "trainer"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(ConfigError, match=r"is not used: others may write .*another folder"):
        kept(root, tmp_path / "open")
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file"):
        kept(root, tmp_path / "file")
    assert not decoded


def test_a_folder_that_could_not_be_written_before_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    split = split_of(root, tmp_path / "file")
    split.images.get_or_make("sizes", (1,), lambda: torch.zeros(1, dtype=torch.uint8))  # pyright: ignore
    with pytest.raises(ConfigError, match=r"dataset\.cache, and the folder .*/file/trainer cannot"):
        Memory(workers=0, cache="mmap").open(split, CPU)


def test_a_disk_without_room_is_refused_before_anything_is_decoded(
    root: Path, tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(os.statvfs(tmp_path))
    found[4] = 0  # free blocks
    monkeypatch.setattr(os, "fstatvfs", lambda _: os.statvfs_result(found))
    with pytest.raises(DiskError, match=r"needs 0\.0 GB in .* has 0\.0 GB free; set dataset"):
        kept(root, tmp_path / "cache")
    assert not decoded


def test_an_epoch_left_early_leaves_no_thread(root: Path, tmp_path: Path) -> None:
    feed = kept(root, tmp_path / "cache")
    before = threading.active_count()
    batches = feed.batches(Plan.of(torch.arange(24), 2))
    next(batches)
    assert threading.active_count() > before
    batches.close()  # pyright: ignore
    assert threading.active_count() == before


def test_a_run_is_that_with_pixels_in_memory_even_when_resumed(root: Path, tmp_path: Path) -> None:
    own = "dataset=image_folder", f"dataset.root={root}", f"dataset.cache={tmp_path / 'cache'}"
    own += "loader=memory", "model=mlp", "mixer=cutmix", "batch_size=4", "epochs=2", "device=cpu"
    own += "mining=ohem", "dataset.val_fraction=0.2", "checkpoint.every=1st"
    whole = digest(fitted(tmp_path / "whole", *own))
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stopped", *own, "loader.cache=mmap", stop_after=3)
    assert digest(fitted(tmp_path / "stopped", *own, "loader.cache=mmap")) == whole
