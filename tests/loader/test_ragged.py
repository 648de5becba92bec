"""Images of many sizes in memory: kept in the cache, counted, and named where they are damaged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared import parallel
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import EpochCut
from trainer.loader.auto import Auto
from trainer.loader.memory import Memory
from trainer.loader.shared import ragged
from trainer.loader.shared.ragged import RaggedFeed
from trainer.loader.stream import StreamFeed

CPU = torch.device("cpu")
CUT = EpochCut(RandomResizedCrop(size=8), 0, 0, lambda _: torch.arange(3))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six JPEG files, of 12 to 17 by 10 pixels: 2,610 bytes once decoded."""
    rng = np.random.default_rng(0)
    for i in range(6):
        path = tmp_path / "data" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (12 + i, 10, 3), np.uint8)).save(path)
    return tmp_path / "data"


def split_of(root: Path, **settings: Any) -> Split:
    own = {"size": None, "cache": None} | settings
    return ImageFolder(root=str(root), fit="uncut", crop=8, **own).load().train


def test_a_later_run_takes_them_from_the_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = {"cache": str(root.parent / "cache")}
    plan = Plan.of(torch.tensor([[0, 3], [5, 2], [1, 4]]), 3, torch.full((3, 2), 0.5))
    for settings in ({}, {"size": 9}, {"decode": "fast"}):
        (first,) = (
            Memory(workers=0).open(split_of(root, **cache, **settings), CPU).batches(plan, cut=CUT)
        )
        with monkeypatch.context() as patch:
            patch.setattr(UncutFiles, "picture", lambda *_: pytest.fail("decoded again"))
            again = Memory(workers=0).open(split_of(root, **cache, **settings), CPU)
            (second,) = again.batches(plan, cut=CUT)
        assert torch.equal(first.images, second.images)
        (plain,) = Memory(workers=0).open(split_of(root, **settings), CPU).batches(plan, cut=CUT)
        assert torch.equal(first.images, plain.images)
    kept = [path.name.partition("-")[0] for path in (root.parent / "cache/trainer").iterdir()]
    assert (kept.count("ragged"), kept.count("uncut")) == (3, 3)


def test_auto_counts_the_bytes_of_whole_images(root: Path) -> None:
    split = split_of(root)
    size = (12 + 13 + 14 + 15 + 16 + 17) * 10 * 3 + 6 * 8
    for room, kind in ((size, RaggedFeed), (size - 1, StreamFeed)):
        assert isinstance(Auto(workers=0, memory_gb=room / 1e9).open(split, CPU), kind)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_a_damaged_file_is_named_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(ragged, "AT_ONCE", 600)
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    split = split_of(root)
    assert isinstance(split.images, UncutFiles)
    assert split.images.stored_sizes.shape == (6, 2)
    path = root / "b" / "5.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"\A[^\n]*b/5\.jpg[^\n]*\Z"):
        Memory(workers=workers).open(split, CPU)
