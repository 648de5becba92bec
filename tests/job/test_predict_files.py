"""job=predict source=...: new files, without labels and without the run's data set."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import CONF, config_of, read_json

import trainer
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Dataset

NAMES = ("ahorn", "birke", "eiche", "fichte", "kiefer", "weißdorn")
SETTINGS = ("model=mlp", "model.hidden=[16]", "epochs=2", "dataset.size=12")


def job(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def predict(run: Path, folder: Path, source: object, *overrides: str) -> list[dict[str, str]]:
    given = [f"run={run}"] * (not any(o.startswith("runs=") for o in overrides))
    assert job(folder, "job=predict", *given, f"source='{source}'", *overrides) == 0
    return rows_of(folder / "predictions.csv")


def refusal(capsys, code: int, folder: Path, run: Path, *overrides: str) -> str:
    capsys.readouterr()
    assert job(folder, "job=predict", f"run={run}", *overrides) == code
    lines = capsys.readouterr().err.splitlines()
    (error,) = (line for line in lines if not line.startswith("warning: "))
    assert not (folder / "predictions.csv").exists()
    return error


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 16 + seed % 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders to train on."""
    root = tmp_path_factory.mktemp("classes")
    for c, name in enumerate(NAMES):
        for i in range(8):
            photo(root / name / f"{i}.png", 10 * c + i)
    return root


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    assert job(folder, *SETTINGS, "dataset=image_folder", f"dataset.root={root}") == 0
    return folder


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """New photos at several depths, and what is no photo."""
    for i, name in enumerate(("a.png", "tief/b b.jpg", "tief/tiefer/ö.png", "=1+1.png")):
        photo(tmp_path / "inbox" / name, 100 + i)
    photo(tmp_path / "inbox" / ".hidden.png", 0)
    (tmp_path / "inbox" / "notes.txt").write_text("no photo")
    return tmp_path / "inbox"


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening any data set fails the test."""
    monkeypatch.setattr(Dataset, "open", lambda *_: pytest.fail("a data set was opened"))


def test_a_folder_of_any_depth(run: Path, inbox: Path, tmp_path: Path, closed, capsys) -> None:
    rows = predict(run, tmp_path / "p", inbox)
    names = ["=1+1.png", "a.png", "tief/b b.jpg", "tief/tiefer/ö.png"]
    assert [row["path"] for row in rows] == [str(inbox / name) for name in names]
    assert "2 files (1 hidden, 1 .txt)" in capsys.readouterr().err
    model = trainer.load(run)
    expected = model.probabilities([inbox / name for name in names])
    for row, p in zip(rows, expected, strict=True):
        best = p.argsort(descending=True)[:5].tolist()
        found = [row[f"prediction{s}"] for s in ("", "_2", "_3", "_4", "_5")]
        assert found == [NAMES[i] for i in best]
        found = [float(row[f"probability{s}"]) for s in ("", "_2", "_3", "_4", "_5")]
        assert found == pytest.approx(p[best].tolist(), rel=1e-4)
    assert len(rows[0]) == 11, "no column per class unless asked for"
    with Image.open(tmp_path / "p" / "predictions.png") as picture:
        assert picture.width > 4 * 90
    result = read_json(tmp_path / "p" / "result.json")
    assert (result["images"], result["unreadable"]) == (4, 0)


def test_a_column_per_class_on_request(run: Path, inbox: Path, tmp_path: Path) -> None:
    rows = predict(run, tmp_path / "p", inbox, "job.probabilities=true")
    p = [[float(row[f"p_{name}"]) for name in NAMES] for row in rows]
    np.testing.assert_allclose(np.sum(p, axis=1), 1, rtol=1e-5)
    assert [NAMES[i] for i in np.argmax(p, axis=1)] == [row["prediction"] for row in rows]


def test_a_file_and_a_pattern(run: Path, inbox: Path, tmp_path: Path, closed) -> None:
    (row,) = predict(run, tmp_path / "p", inbox / "tief" / "b b.jpg")
    assert row["path"] == str(inbox / "tief" / "b b.jpg")
    rows = predict(run, tmp_path / "q", inbox / "**" / "*.png")
    assert [Path(row["path"]).name for row in rows] == ["=1+1.png", "a.png", "ö.png"]
    rows = predict(run, tmp_path / "r", inbox / "*")
    assert [Path(row["path"]).name for row in rows] == ["=1+1.png", "a.png"]


@pytest.mark.parametrize("text", ["nr;path\n1;a.png\n2;tief/b b.jpg\n", "path\na.png\n\n"])
def test_a_table_lists_paths_relative_to_itself(
    run: Path, inbox: Path, tmp_path: Path, text: str, closed
) -> None:
    (inbox / "list.csv").write_text(text, encoding="utf-8-sig")
    rows = predict(run, tmp_path / "p", inbox / "list.csv")
    names = ["a.png", "tief/b b.jpg"][: len(rows)]
    assert [row["path"] for row in rows] == [str(inbox / name) for name in names]


def test_paths_are_those_of_a_table_in_the_current_folder(
    run: Path, inbox: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(inbox)
    Path("list.csv").write_text("path\na.png\ntief/b b.jpg\n")
    rows = predict(run, tmp_path / "p", "list.csv")
    assert [row["path"] for row in rows] == ["a.png", "tief/b b.jpg"]
    assert (
        f"pictures      {tmp_path / 'p' / 'predictions.png'}"
        in (tmp_path / "p" / "train.log").read_text()
    )


def test_our_own_table_is_a_source(run: Path, inbox: Path, tmp_path: Path, monkeypatch) -> None:
    """Its paths are relative to the current folder, and a formula has an apostrophe before it."""
    monkeypatch.chdir(inbox)
    first = predict(run, tmp_path / "p", "*.png")
    again = predict(run, tmp_path / "q", tmp_path / "p" / "predictions.csv")
    assert first == again
    assert len(first) == 2


def test_a_table_without_the_column_is_refused(run: Path, inbox: Path, tmp_path, capsys) -> None:
    (inbox / "list.csv").write_text("file,label\na.png,1\n")
    source = f"source={inbox / 'list.csv'}"
    error = refusal(capsys, DataError.exit_code, tmp_path / "p", run, source)
    assert "has no column path (source)" in error
    (inbox / "list.csv").write_text("path,label\na.png,1\n,2\n")
    error = refusal(capsys, DataError.exit_code, tmp_path / "q", run, source)
    assert "list.csv, line 3: path is empty" in error


def test_unreadable_files_end_the_job_or_are_listed(run, inbox, tmp_path, capsys) -> None:
    (inbox / "tief" / "cut.jpg").write_bytes((inbox / "tief" / "b b.jpg").read_bytes()[:200])
    (inbox / "empty.png").write_bytes(b"")
    error = refusal(capsys, DataError.exit_code, tmp_path / "p", run, f"source={inbox}")
    assert "2 of 6 images cannot be read" in error
    assert "cut.jpg" in error
    assert "empty.png" in error
    assert "job.corrupt=skip leaves them out" in error
    rows = predict(run, tmp_path / "q", inbox, "job.corrupt=skip")
    assert len(rows) == 4
    assert "2 images cannot be read" in capsys.readouterr().err
    bad = rows_of(tmp_path / "q" / "unreadable.csv")
    assert {Path(row["path"]).name for row in bad} == {"cut.jpg", "empty.png"}
    assert all("dataset." not in row["reason"] for row in bad)


def test_of_many_unreadable_files_ten_are_listed(run, inbox, tmp_path, capsys) -> None:
    lines = [f"gone{i}.png" for i in range(40)]
    (inbox / "list.csv").write_text("\n".join(["path", "a.png", *lines]))
    options = (f"source={inbox / 'list.csv'}", "eval_batch_size=4")
    error = refusal(capsys, DataError.exit_code, tmp_path / "p", run, *options)
    assert error.count("gone") == 10
    assert "at least 11 of 41" in error
    only = f"source={inbox / 'tief'}/"
    shutil.rmtree(inbox / "tief")
    (inbox / "tief").mkdir()
    (inbox / "tief" / "bad.png").write_bytes(b"x")
    error = refusal(capsys, 3, tmp_path / "q", run, only, "job.corrupt=skip")
    assert "bad.png" in error, "with nothing left there is nothing to predict"
    assert "dataset.corrupt" not in error


@pytest.mark.parametrize(
    ("source", "code", "text"),
    [
        ("nowhere", 3, "source=nowhere: no such file or folder"),
        ("nowhere/*.png", 3, "source=nowhere/*.png has no images"),
        ("{inbox}/notes.txt", 3, "notes.txt"),
        ("{inbox} split=val", 2, "split=val has no effect on source=..."),
        ("{inbox} dataset.subset=8", 2, "dataset.subset=8 has no effect"),
        ("{inbox} postprocess=temperature", 2, "postprocess=temperature has no effect"),
        ("{inbox} job.corrupt=drop", 2, "job.corrupt must be"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(run, inbox, tmp_path, capsys, source, code, text):
    source, *more = source.format(inbox=inbox).split()
    try:
        error = refusal(capsys, code, tmp_path / "p", run, f"source='{source}'", *more)
    except ConfigError as raised:
        error = str(raised)
    assert text in error


def test_an_ensemble_is_the_mean_by_class_name(run, root, inbox, tmp_path) -> None:
    other = tmp_path / "other"
    data = ("dataset=image_folder", f"dataset.root={root}", "dataset.size=[9,15]")
    order = "dataset.classes=[5,4,0,1,2,3]"
    assert job(other, *SETTINGS, *data, order, "seed=1") == 0
    folder = tmp_path / "p"
    rows = predict(run, folder, inbox, f"runs=[{run},{other}]", "job.probabilities=true")
    files, total = [row["path"] for row in rows], 0.0
    for model in map(trainer.load, (run, other)):
        p = model.probabilities(files)
        total = total + p[:, [model.classes.index(name) for name in NAMES]]
    found = [[float(row[f"p_{name}"]) for name in NAMES] for row in rows]
    np.testing.assert_allclose(found, total / 2, rtol=1e-4)
    assert len(read_json(folder / "result.json")["checkpoint"]) == 2


def test_views_are_averaged(run, inbox, tmp_path) -> None:
    rows = predict(run, tmp_path / "p", inbox, "job.tta=flip", "job.probabilities=true")
    model = trainer.load(run)
    images = model.preprocess([row["path"] for row in rows])
    with torch.no_grad():
        expected = (model(images).softmax(1) + model(images.flip(-1)).softmax(1)) / 2
    found = [[float(row[f"p_{name}"]) for name in NAMES] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_split_has_paths_too(run, root, tmp_path) -> None:
    assert job(tmp_path / "p", "job=predict", f"run={run}") == 0
    rows = rows_of(tmp_path / "p" / "predictions.csv")
    assert list(rows[0])[:3] == ["id", "path", "label"]
    assert "p_ahorn" in rows[0]
    for row in rows:
        assert Path(row["path"]).parent == root / row["label"]
    assert job(tmp_path / "q", "job=predict", f"run={run}", "job.probabilities=false") == 0
    assert "p_ahorn" not in rows_of(tmp_path / "q" / "predictions.csv")[0]


def test_a_run_without_a_record_finds_it_in_its_data_set(run, inbox, tmp_path) -> None:
    old = shutil.copytree(run, tmp_path / "old")
    for path in old.rglob("data.json"):
        path.unlink()
    for path in old.rglob("manifest.json"):
        text = read_json(path)
        del text["data.json"]
        path.write_text(str(text).replace("'", '"'))
    expected = predict(run, tmp_path / "p", inbox)
    assert predict(old, tmp_path / "q", inbox) == expected


def test_a_regression_has_a_column_per_number(inbox, tmp_path, capsys) -> None:
    canvas = ("dataset=digits_canvas", "dataset.examples=40", "dataset.digits=1")
    box = ("dataset.target=box", "task=regression", "loss=mse")
    assert job(tmp_path / "run", *canvas, *box, *SETTINGS) == 0
    rows = predict(tmp_path / "run", tmp_path / "p", inbox)
    assert list(rows[0]) == ["path", *(f"prediction_{i}" for i in range(4))]
    model = trainer.load(tmp_path / "run")
    expected = model(model.preprocess([row["path"] for row in rows])).detach()
    found = [[float(row[f"prediction_{i}"]) for i in range(4)] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_masks_are_refused(inbox, tmp_path, capsys) -> None:
    canvas = ("dataset=digits_canvas", "dataset.examples=40", "dataset.digits=1")
    mask = ("dataset.target=mask", "task=segmentation", "model=unet", "model.width=4")
    assert job(tmp_path / "run", *canvas, *mask, "dataset.size=16", "epochs=1") == 0
    error = refusal(capsys, 2, tmp_path / "p", tmp_path / "run", f"source={inbox}")
    assert "not masks" in error
