"""A newcomer's first hour: the lines of README, "Your own images", run on photographs."""

import csv
import importlib
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
from forks import Fork
from photos import CLASSES, PER_CLASS, make_photos, photograph
from support import read_json

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "README.md").read_text().split("## Your own images\n")[1].split("```")[1]
LINES = re.sub(r" +#.*", "", SECTION).strip().splitlines()
SMALLER = {"epochs=40": "epochs=2", "model.name=resnet18": "model.name=squeezenet1_1"}
SMALL = ["epochs=1", "device=cpu", "threads=1", "dataset.cache=null"]  # in place of 20 epochs


def run(line: str, folder: Path) -> tuple[int, str, str]:
    """Run a line of the README, made smaller, in a fork: exit code, stdout, stderr."""
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "trainer"]
    arguments = [SMALLER.get(word, word) for word in words[3:]]
    arguments += SMALL if "dataset.root=photos" in arguments else []
    code, out, err = Fork(folder, *arguments).done()
    return code, out.decode(), err.decode()


class Hour(NamedTuple):
    """The folder in which all lines were run, what each printed, by its job, and its run folder."""

    folder: Path
    said: dict[str, str]
    runs: list[Path]  # in the order of their start, of which their names tell the second


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Hour:
    """What is there after the lines of the README."""
    folder = tmp_path_factory.mktemp("hour")
    importlib.import_module("torchvision.models")  # once for all forks, a second each
    make_photos(folder / "photos")
    (folder / "new" / "trip").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for i in range(5):
        photograph(i % 3, rng).save(folder / "new" / ("trip" if i % 2 else ".") / f"{i}.jpg")
    said, runs = {}, []
    for line in LINES[:6]:
        code, out, error = run(line, folder)
        assert code == 0, error
        job = re.search(r"job=(\w+)", line)
        said.setdefault(job[1] if job else "train", out + error)
        runs += set((folder / "outputs").glob("*/*")) - set(runs)
    return Hour(folder, said, runs)


def test_the_lines_are_eight() -> None:
    assert len(LINES) == 8
    assert LINES[7] == "tensorboard --logdir outputs"


def test_photos_of_all_kinds_are_trained_on(hour: Hour) -> None:
    """Hidden files and a text are left out and said; the size is that of most photographs."""
    text = hour.said["train"]
    assert "7 files (6 hidden, 1 .txt)" in text
    (size,) = re.findall(r"dataset\.size=(\d+) \(auto", text)
    assert 48 <= int(size) <= 96
    first = hour.runs[0]
    data = read_json(first / "data.json")
    assert tuple(data["classes"]) == CLASSES
    assert data["shape"] == [3, int(size), int(size)]
    assert (
        sum(
            read_json(first / "result.json")["report"]["test"]["classes"][c]["support"]
            for c in CLASSES
        )
        > 0
    )


def test_its_errors_are_seen_and_training_goes_on(hour: Hour) -> None:
    said = hour.said
    train, evaluated, examples, *_ = hour.runs
    assert (evaluated / "confusion.png").is_file()
    assert all(name in said["evaluate"] for name in CLASSES)
    assert "suspect" in said["examples"]
    assert (examples / "suspects.csv").is_file()
    result = read_json(train / "result.json")
    assert result["epochs"] == 2
    assert result["steps"] == 2 * -(-(sum(data_counts(train))) // 32)


def data_counts(run: Path) -> list[int]:
    return read_json(run / "data.json")["class_counts"]


def test_new_files_are_predicted_and_the_model_leaves_the_house(
    hour: Hour, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """The table, `trainer.load` and the exported model agree on the same photograph."""
    *_, predicted, exported = hour.runs
    with (predicted / "predictions.csv").open(encoding="utf-8") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file)}
    assert sorted(rows) == [f"{i}.jpg" for i in range(5)]
    assert {row["prediction"] for row in rows.values()} <= set(CLASSES)
    monkeypatch.chdir(hour.folder)
    _, _, code = shlex.split(LINES[6].replace("new/1.jpg", "new/2.jpg"))
    exec(code)  # noqa: S102  (the README's line)
    printed = capsys.readouterr().out
    assert f"'{rows['2.jpg']['prediction']}'" in printed
    side = read_json(exported / "data.json")["shape"][-1]
    pixels = np.zeros((2, 3, side, side), np.uint8)
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    assert session.run(None, {"images": pixels})[0].shape == (2, len(CLASSES))


def test_a_damaged_photo_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    (tmp_path / "photos" / "dog" / "8.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    line = "python -m trainer dataset=image_folder dataset.root=photos model=mlp dataset.size=16"
    code, _, error = run(line, tmp_path)
    assert code == 3
    assert error.count("\n") == 1
    assert "8.jpg" in error
    assert "dataset.corrupt=skip" in error
    assert len(list((tmp_path / "photos" / "dog").rglob("*.*"))) >= PER_CLASS
