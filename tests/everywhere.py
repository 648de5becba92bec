"""Settings and fixtures for all tests, in each process that runs some: see `conftest.py`."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.job.train import Ending
from trainer.report.log import Log
from trainer.training import reporter

LONGEST = (
    *("test_torture", "test_fake_gpu", "test_distributed", "test_signals", "test_sweep"),
    "test_first_hour",
)

SHOW_PICTURES, SHOW = Ending.show_pictures, Log.show
DRAWN = {name: getattr(reporter, name) for name in ("grid", "confusion")}
DOT = np.zeros((1, 1, 3), np.uint8)
SHARED = Path(__file__).parents[2] / "shared" / "data"

gc.disable()  # until all is imported: it would look through all modules again and again
torch.set_num_threads(1)  # with two, small models take ten times as long on a busy machine
# Autograd counts the devices at its first backward pass. Tests of augmentations make a fake GPU; if
# that were counted, no fork of the tests' process could train.
torch.zeros((), requires_grad=True).backward()


@pytest.fixture(scope="session")
def mnist_root() -> str:
    """The folder that contains MNIST/raw; skips the test if it is absent."""
    if not (SHARED / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST files: {SHARED}/MNIST/raw is absent")
    return str(SHARED)


@pytest.fixture(scope="session", autouse=True)
def no_pictures() -> Iterator[None]:
    """Skip the pictures at the end of a run, two thirds of a short one's time; see `pictures`.

    Those of its inputs and its confusion, which a tenth of the rest goes into, are a dot, and
    TensorBoard's file stays empty, which saves another tenth.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ending, "show_pictures", lambda _: None)
        patch.setattr(Log, "show", lambda *_, **__: None)
        for name in DRAWN:
            patch.setattr(reporter, name, lambda *_: DOT)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlive the machine's power; tests of that count the calls."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def hangups_arrive() -> None:
    """Under nohup, which the program respects, tests and what they start would ignore SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def drawing() -> Iterator[None]:
    """Draw the pictures of a run, and fill TensorBoard's file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ending, "show_pictures", SHOW_PICTURES)
        patch.setattr(Log, "show", SHOW)
        for name, draw in DRAWN.items():
            patch.setattr(reporter, name, draw)
        yield


@pytest.fixture
def pictures() -> Iterator[None]:
    """Draw the pictures of a run, and fill TensorBoard's file, in this test."""
    with drawing():
        yield


@pytest.fixture(scope="module")
def module_pictures() -> Iterator[None]:
    """The same in this module."""
    with drawing():
        yield


@pytest.fixture(autouse=True)
def no_cache_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep image folders from writing to ~/.cache; a test of the cache names a folder."""
    monkeypatch.setattr("trainer.dataset.shared.file_dataset.standard_folder", lambda: None)


@pytest.fixture
def noise() -> Callable[..., Split]:
    """A function that makes a split of random uint8 images [N, C, H, W] with cyclic labels."""

    def make(
        examples: int = 20, shape: tuple[int, int, int] = (1, 6, 5), classes: int = 3
    ) -> Split:
        rng = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (examples, *shape), generator=rng, dtype=torch.uint8)
        return Split(Pixels(pixels), torch.arange(examples) % classes, torch.arange(examples))

    return make


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the longest files first, so that none starts when the others end; skip GPU tests."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    has_gpu = torch.cuda.is_available() or config.pluginmanager.hasplugin("fake_gpu")
    absent = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu") and not has_gpu:
            item.add_marker(absent)


def pytest_collection_finish():
    gc.enable()
    gc.set_threshold(10_000)  # 700 is 2 % of the tests' time
    gc.freeze()  # what has been imported stays: it need not be looked through again and again
