"""Class names that are markup, formulas or control sequences, through every job that shows them."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import CONF, config_of

from trainer.cli.execute import execute

NAMES = ("=1+1", "@SUM(A1)", "-9", "[i]", "[red]x", "\x1b[31mc", "a\nb", "\u202eevil", "<b>|`")
SHOWN = ("=1+1", "@SUM(A1)", "-9", "[i]", "[red]x", "\\x1b[31mc", "a b", "\\u202eevil", "<b>|`")
IN_CSV = ("'=1+1", "'@SUM(A1)", *NAMES[2:])
FORBIDDEN = ("\x1b", "\u202e")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten small images of each class."""
    root, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for name in NAMES:
        (root / name).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def run(folder: Path, *overrides: str) -> None:
    arguments = ["device=cpu", *overrides]
    assert execute(config_of(*arguments), folder, arguments, [str(CONF)]) == 0


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory, module_pictures: None) -> Path:
    """A run in a folder whose name is markup too."""
    folder = tmp_path_factory.mktemp("runs") / "r[/b]1"
    run(folder, *data(images), "epochs=1", "model=mlp", "dataset.val_fraction=0.2")
    return folder


def data(images: Path) -> tuple[str, str]:
    return "dataset=image_folder", f"dataset.root={images}"


def cells(path: Path, column: str) -> Iterator[str]:
    """A column of a CSV file."""
    with path.open(newline="") as file:
        yield from (row[column] for row in csv.DictReader(file))


def check_text(text: str) -> None:
    assert not any(character in text for character in FORBIDDEN)


def test_training_shows_names_as_text(trained: Path) -> None:
    check_text(log := (trained / "train.log").read_text())
    assert f"run folder    {trained}" in log.splitlines()
    (events,) = (trained / "tensorboard").iterdir()
    content = events.read_bytes()
    assert not any(name.encode() in content for name in NAMES[5:8])
    assert b"| \\\\x1b\\[31mc |" in content
    assert b"| \\<b>\\|\\` |" in content


def test_evaluate_shows_each_name_as_it_is(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "e", "job=evaluate", f"run='{trained}'")
    check_text(out := capsys.readouterr().out)
    table = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert set(SHOWN) <= set(table)
    assert set(cells(tmp_path / "e" / "classes.csv", "class")) == set(IN_CSV)


def test_predictions_and_examples_are_no_formulas(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "p", "job=predict", f"run='{trained}'")
    run(tmp_path / "x", "job=examples", f"run='{trained}'")
    check_text(capsys.readouterr().out)
    assert set(cells(tmp_path / "p" / "predictions.csv", "label")) == set(IN_CSV)
    assert set(cells(tmp_path / "x" / "hardest.csv", "label")) == set(IN_CSV)
    assert any(float(aum) < 0 for aum in cells(tmp_path / "x" / "hardest.csv", "aum"))


def test_the_preview_is_no_formula(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "v", "job=preview", "epochs=1", "model=mlp", *data(images))
    check_text(capsys.readouterr().out)
    assert set(cells(tmp_path / "v" / "classes.csv", "class")) == set(IN_CSV)
    assert set(cells(tmp_path / "v" / "inputs.csv", "label")) <= set(IN_CSV)
