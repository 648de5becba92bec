"""Pictures: their sizes, and where `show` puts them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import make_run

from trainer.history.analysis import DataMap, Forgetting
from trainer.history.pictures import data_map, forgetting
from trainer.job.train import Ending
from trainer.report.images import COLUMNS, LINE, SIDE, thumbnails


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 14), (3, 200, 300), (1, 1, 500)])
def test_thumbnails_are_enlarged_or_reduced(shape: tuple[int, int, int]) -> None:
    """Ten images in two rows; the longer side is 96 pixels."""
    images = np.full((10, *shape), 100, np.uint8)
    sheet = thumbnails(images, [["a label", "id 1"]] * 10)
    height = max(1, round(shape[1] * SIDE / max(shape[1:])))
    assert sheet.shape == (2 * (height + 4 + 2 * LINE), COLUMNS * (SIDE + 4), 3)
    width = max(1, round(shape[2] * SIDE / max(shape[1:])))
    assert (sheet[2 : 2 + height, 2 : 2 + width] == 100).all()
    assert (sheet[:2] == 255).all()


def test_names_that_the_font_lacks_are_no_error() -> None:
    assert thumbnails(np.zeros((1, 1, 8, 8), np.uint8), [["label 猫", "→"]]).shape[2] == 3


@pytest.mark.parametrize("number", [0, 1, 5, 250_000])
def test_a_data_map_of_any_size(number: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, number))
    values[:, ::7] = np.nan
    picture = data_map(DataMap(*values))
    assert picture.dtype == np.uint8
    assert picture.shape == (576, 768, 3)


@pytest.mark.parametrize("events", [[], [0], [0, 0, 3], list(range(60))])
def test_a_histogram_of_any_size(events: list[int]) -> None:
    learned = np.arange(len(events)) % 2 == 0
    picture = forgetting(
        Forgetting(np.array(events, np.int64), learned), np.ones(len(events), bool)
    )
    assert picture.shape == (576, 768, 3)


def shown(tmp_path: Path, *overrides: str) -> tuple[set[str], str]:
    """Train two epochs and show; the pictures that are there, and what was said."""
    overrides = ("epochs=2", "model=mlp", "device=cpu", "dataset.subset=200", *overrides)
    run = make_run(tmp_path, *overrides)
    run.console.open(tmp_path / "train.log")
    fit = run.assemble()
    fit()
    folder, console = run.folder, run.console
    Ending(fit, run.open_feed, run.postprocess, {}, folder, console, run.world).show_pictures()
    run.log.close()
    run.console.close()
    for path in (tmp_path / "examples").glob("*.png"):
        with Image.open(path) as image:
            image.load()
    pictures = {path.stem for path in (tmp_path / "examples").glob("*.png")}
    return pictures, (tmp_path / "train.log").read_text()


def test_show_writes_the_folder_and_tensorboard(tmp_path: Path) -> None:
    pictures, said = shown(tmp_path)
    assert pictures == {"hardest", "data_map", "forgetting"}
    assert "unmixed" not in said
    (events,) = (tmp_path / "tensorboard").iterdir()
    for name in pictures:
        assert f"examples/{name}".encode() in events.read_bytes()


def test_show_says_one_line_where_everything_was_mixed(tmp_path: Path) -> None:
    pictures, said = shown(tmp_path, "mixer=mixup")
    assert pictures == set()
    assert said.count("no example was seen unmixed") == 1
