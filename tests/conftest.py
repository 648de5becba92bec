"""What all tests share: one thread, and fixtures."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.job.train import Ending

LONGEST = ("test_torture", "test_distributed", "test_signals", "test_sweep")

SHOW_PICTURES = Ending.show_pictures
SHARED = Path(__file__).parents[2] / "shared" / "data"

torch.set_num_threads(1)  # with two, small models take ten times as long on a busy machine


@pytest.fixture(scope="session")
def mnist_root() -> str:
    """The folder that holds MNIST/raw; the test is skipped where it is absent."""
    if not (SHARED / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST files: {SHARED}/MNIST/raw is absent")
    return str(SHARED)


@pytest.fixture(scope="session", autouse=True)
def no_pictures() -> Iterator[None]:
    """Skip the pictures at the end of a run: two thirds of a short one. `pictures` draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ending, "show_pictures", lambda _: None)
        yield


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw them in this test."""
    monkeypatch.setattr(Ending, "show_pictures", SHOW_PICTURES)


@pytest.fixture(autouse=True)
def no_cache_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image folders leave nothing in ~/.cache; a test that wants a cache names its folder."""
    monkeypatch.setattr("trainer.dataset.image_folder.standard_folder", lambda: None)


@pytest.fixture
def noise() -> Callable[..., Split]:
    """Makes a split of random uint8 images in memory, classes in turn."""

    def make(
        examples: int = 20, shape: tuple[int, int, int] = (1, 6, 5), classes: int = 3
    ) -> Split:
        rng = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (examples, *shape), generator=rng, dtype=torch.uint8)
        return Split(Pixels(pixels), torch.arange(examples) % classes, torch.arange(examples))

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: begun last, one process would be at them alone. No GPU, no test."""
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    absent = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(absent)


def pytest_sessionfinish(session, exitstatus):
    if not hasattr(session.config, "workerinput"):  # a worker still has to report
        session.config.exit_with = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Leave with the status of the tests, whatever libraries do at the interpreter's end."""
    if hasattr(config, "exit_with"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.exit_with)
