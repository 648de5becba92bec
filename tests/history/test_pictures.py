"""Pictures of the difficulty store: their sizes, and where a training run puts them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from support import QUICK, make_run

from trainer.history import pictures as drawing
from trainer.history.analysis import DataMap, Forgetting, History
from trainer.history.pictures import apart, data_map, forgetting


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


def store(**fields: list[list[float]]) -> History:
    dtypes = {"correct": np.uint8}
    arrays = {n: np.array(v).astype(dtypes.get(n, np.float16)) for n, v in fields.items()}
    return History(np.arange(len(arrays["loss"][0])), arrays)


def test_lately_wrong_and_hard_on_average_stand_apart() -> None:
    """Example 0 is lately right, though its loss is the highest; 3 is easy and right."""
    history = store(loss=[[9, 5, 1, 0.1], [5, 5, 1, 0.1]], correct=[[0, 0, 1, 1], [1, 0, 0, 1]])
    hardest = history.hardest(4)
    assert hardest.tolist() == [0, 1, 2, 3]
    (wrong, first), (hard, second) = apart(history, hardest, 5)
    assert first.tolist() == [1, 2]
    assert second.tolist() == [0]
    assert wrong.startswith(
        "Lately wrong: the latest prediction is not the label (2 of 4 examples)"
    )
    assert hard.startswith("Hard on average, but lately right (1 of 4 examples)")
    assert hard.endswith("highest mean loss of the last 2 epochs first")
    ((title, ids),) = apart(store(loss=[[1, 2]]), np.array([1, 0]), 5)
    assert title == "Highest loss of the last epoch"
    assert ids.tolist() == [1, 0]


def test_where_none_is_harder_than_another_the_rest_is_drawn() -> None:
    """A model that has memorised its examples: all losses are 0, and none is wrong."""
    history = store(loss=[[0, 0]], confidence=[[1, 1]], correct=[[1, 1]])
    assert set(drawing.pictures(history, SimpleNamespace(kind="image"))) == {  # pyright: ignore
        "data_map",
        "forgetting",
    }


def test_cards_show_the_name_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Files:
        paths = np.array(["/photos/Kätzchen/IMG 1.jpg", "/photos/dog/IMG 2.jpg"])

        def read(self, ids: list[int]) -> torch.Tensor:
            return torch.zeros(len(ids), 3, 4, 4, dtype=torch.uint8)

    seen: list[list[str]] = []
    monkeypatch.setattr(drawing, "thumbnails", lambda _, lines: seen.extend(lines))
    train = SimpleNamespace(images=Files())
    data = SimpleNamespace(train=train, classes=("Kätzchen", "dog"), target="class")
    history = replace(
        store(loss=[[1.5, 2]], prediction=[[1, 0]], correct=[[0, 0]]), labels=np.array([0, 1])
    )
    drawing.sheet_of(history, data, np.array([1, 0]), 5)  # pyright: ignore
    assert seen == [
        ["IMG 2.jpg", "label dog", "lately Kätzchen", "loss 2.00, id 1"],
        ["IMG 1.jpg", "label Kätzchen", "lately dog", "loss 1.50, id 0"],
    ]


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
