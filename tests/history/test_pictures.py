"""Pictures of the difficulty store: their sizes, and where a training run puts them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import QUICK, make_run

from trainer.history.analysis import DataMap, Forgetting
from trainer.history.pictures import data_map, forgetting


@pytest.mark.parametrize("number", [0, 5, 120_000])
def test_a_data_map_of_any_size(number: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, number))
    values[:, ::7] = np.nan
    picture = data_map(DataMap(*values))
    assert picture.dtype == np.uint8
    assert picture.shape == (576, 768, 3)


@pytest.mark.parametrize("events", [[], list(range(60))])
def test_a_histogram_of_any_size(events: list[int]) -> None:
    learned = np.arange(len(events)) % 2 == 0
    picture = forgetting(
        Forgetting(np.array(events, np.int64), learned), np.ones(len(events), bool)
    )
    assert picture.shape == (576, 768, 3)


def trained(tmp_path: Path, *overrides: str) -> tuple[set[str], str]:
    """Train; returns the names of the pictures in the folder and the text of train.log."""
    overrides = (*QUICK, "epochs=2", "model.hidden=[8]", "dataset.subset=100", *overrides)
    run = make_run(tmp_path, *overrides)
    run.console.open(tmp_path / "train.log")
    run.do()
    run.console.close()
    for path in (tmp_path / "examples").glob("*.png"):
        with Image.open(path) as image:
            image.load()
    pictures = {path.stem for path in (tmp_path / "examples").glob("*.png")}
    return pictures, (tmp_path / "train.log").read_text()


@pytest.mark.usefixtures("pictures")
def test_pictures_are_written_to_the_folder_and_to_tensorboard(tmp_path: Path) -> None:
    pictures, log = trained(tmp_path)
    assert pictures == {"hardest", "data_map", "forgetting"}
    assert "no pictures" not in log
    (events,) = (tmp_path / "tensorboard").iterdir()
    for name in pictures:
        assert f"examples/{name}".encode() in events.read_bytes()


@pytest.mark.usefixtures("pictures")
def test_a_run_that_mixed_every_example_reports_no_pictures(tmp_path: Path) -> None:
    pictures, log = trained(tmp_path, "mixer=mixup")
    assert pictures == set()
    assert log.count("no pictures of the hardest examples") == 1
