"""The hardest examples and the suspected labels of real, short runs."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import CONF, config_of, read_json, train

from trainer import history
from trainer.cli.execute import execute
from trainer.core.errors import ConfigError, DataError
from trainer.history import pictures as drawing

PNG = b"\x89PNG"
DRAWN = {n: getattr(drawing, n) for n in ("sheet_of", "titled", "data_map", "forgetting")}
DOT = np.zeros((1, 1, 3), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def no_drawing() -> Iterator[None]:
    """The pictures, half of the job's time, are a dot; in one test they are drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for name in DRAWN:
            patch.setattr(drawing, name, lambda *_: DOT)
        yield


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits of which a fifth of the training labels are wrong."""
    folder = tmp_path_factory.mktemp("runs") / "noisy"
    assert train(folder, "dataset.label_noise=0.2", "epochs=6") == 0
    return folder


def examples(folder: Path, *overrides: str) -> int:
    arguments = ["job=examples", "quiet=true", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


@pytest.fixture(scope="module")
def listed(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the job on that run."""
    folder = tmp_path_factory.mktemp("listed") / "e"
    assert examples(folder, f"run={noisy}", "job.number=3") == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("by", ["aum", "loss", "combined"])
def test_wrong_labels_are_suspected(noisy: Path, tmp_path: Path, by: str) -> None:
    """259 of 1,294 labels are wrong: chance finds 20 % of them. Measured: 97 and 96 %."""
    settings = f"job.by={by}", "job.duplicates=false"
    assert examples(tmp_path / "e", f"run={noisy}", *settings) == 0
    result = read_json(tmp_path / "e" / "result.json")
    suspects = result["suspects"]
    assert (result["examples"], result["epochs"], suspects["errors"]) == (1294, 6, 259)
    assert suspects["precision_at_errors"] > 0.85
    assert suspects["precision"] > 0.5
    assert suspects["recall"] > 0.7
    suspected = rows(tmp_path / "e" / "suspects.csv")
    assert len(suspected) == 1000
    wrong = [row["label"] != row["true_label"] for row in suspected]
    assert sum(wrong[:259]) / 259 == pytest.approx(suspects["precision_at_errors"])
    flagged = suspects["flagged"]
    assert sum(wrong[:flagged]) / flagged == pytest.approx(suspects["precision"])


def test_the_tables_agree_with_the_store(
    noisy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, draw in DRAWN.items():
        monkeypatch.setattr(drawing, name, draw)
    assert examples(tmp_path / "e", f"run={noisy}", "job.rows=50", "job.last=2") == 0
    store = history.open(noisy)
    hardest = rows(tmp_path / "e" / "hardest.csv")
    assert [int(row["rank"]) for row in hardest] == list(range(1, 51))
    assert [int(row["id"]) for row in hardest] == store.hardest(50, last=2).tolist()
    losses = [float(row["last_loss"]) for row in hardest]
    assert losses == sorted(losses, reverse=True)
    position = int(np.flatnonzero(store.ids == int(hardest[0]["id"]))[0])
    assert store.labels is not None
    assert hardest[0]["label"] == str(store.labels[store.ids[position]])
    assert hardest[0]["prediction"] == str(store["prediction"][-1, position])
    for column, field in (("loss", "loss"), ("p_y", "confidence"), ("aum", "logit_margin")):
        mean = store[field][:, position].astype(float).mean()
        assert float(hardest[0][column]) == pytest.approx(mean, abs=1e-3)
    assert hardest[0]["forgotten"] in {"unlearned", "0", "1", "2"}
    for name in ("hardest", "data_map", "forgetting"):
        path = tmp_path / "e" / f"{name}.png"
        assert path.read_bytes()[:4] == PNG
        assert path.stat().st_size > 5000


def test_the_console_has_both_tables(listed: Path) -> None:
    text = (listed / "train.log").read_text()
    assert "hardest of" in text
    assert "suspected label errors, by combined" in text
    assert "259 are wrong" in text


def test_thin_evidence_is_said_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a model after two slow epochs most labels are suspect, first of all right ones."""
    assert train(tmp_path / "run", "epochs=2", "optimizer.lr=1e-4") == 0
    assert examples(tmp_path / "e", f"run={tmp_path / 'run'}") == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "thin" in line]
    assert re.match(
        r"warning: the evidence is thin: the model is too weak: over 2 epochs it predicted \d+% of "
        r"the labels on average, the most frequent class has 1\d%; \d+ of \d+ suspects are by now "
        r"predicted as labelled; train a better model, or longer$",
        line,
    )
    evidence = read_json(tmp_path / "e" / "result.json")["suspects"]["evidence"]
    assert evidence["thin"] is True
    assert evidence["mean_accuracy"] < 0.5
    assert line in (tmp_path / "e" / "train.log").read_text()


def test_a_model_that_has_learned_is_not_called_weak(noisy: Path, listed: Path) -> None:
    log = (listed / "train.log").read_text()
    assert "thin" not in log
    assert "warning" not in log
    result = read_json(listed / "result.json")
    assert result["suspects"]["evidence"]["thin"] is False
    store = history.open(noisy)
    expected = store["correct"].mean()
    assert result["suspects"]["evidence"]["mean_accuracy"] == pytest.approx(expected, abs=1e-6)
    hardest = rows(listed / "hardest.csv")
    right = {row["id"]: row["label"] == row["prediction"] for row in hardest}
    assert {row["id"]: row["lately"] == "right" for row in hardest} == right


def test_clean_labels_have_no_precision(tmp_path: Path) -> None:
    assert train(tmp_path / "run", "epochs=1", "dataset.subset=200") == 0
    assert examples(tmp_path / "e", f"run={tmp_path / 'run'}") == 0
    suspects = read_json(tmp_path / "e" / "result.json")["suspects"]
    assert suspects["errors"] is suspects["precision"] is suspects["recall"] is None
    assert "true_label" not in rows(tmp_path / "e" / "hardest.csv")[0]


def test_the_threshold_class_sets_the_cutoff(tmp_path: Path) -> None:
    overrides = ["dataset.label_noise=0.2", "dataset.threshold_class=true", "epochs=6"]
    assert train(tmp_path / "run", *overrides) == 0
    settings = f"run={tmp_path / 'run'}", "job.by=aum", "job.cutoff=threshold_class"
    assert examples(tmp_path / "e", *settings) == 0
    suspects = read_json(tmp_path / "e" / "result.json")["suspects"]
    assert suspects["cutoff"] != 0
    assert suspects["precision"] > 0.6
    assert suspects["recall"] > 0.8
    listed = rows(tmp_path / "e" / "hardest.csv") + rows(tmp_path / "e" / "suspects.csv")
    assert "threshold" not in {row["label"] for row in listed}


def test_examples_of_an_image_folder_have_paths(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for i in range(30):
            pixels = (rng.integers(-30, 30, (12, 12, 3)) + level).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{i}.png")
    data = ["dataset=image_folder", f"dataset.root={tmp_path / 'data'}", "loader.workers=0"]
    assert train(tmp_path / "run", *data) == 0
    assert examples(tmp_path / "e", f"run={tmp_path / 'run'}") == 0
    for row in rows(tmp_path / "e" / "hardest.csv"):
        assert Path(row["path"]).parent.name == row["label"]
        assert Path(row["path"]).is_file()


@pytest.mark.parametrize("overrides", [("dataset.subset=100",), ("dataset.label_noise=0.1",)])
def test_another_data_set_is_refused_in_one_line(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: tuple[str, ...]
) -> None:
    assert examples(tmp_path / "e", f"run={noisy}", *overrides) == DataError.exit_code
    error = capsys.readouterr().err
    assert error.startswith("the difficulty store ")
    assert "use the" in error
    assert error.count("\n") == 1


def test_no_store_is_reported_in_one_line(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.yaml").write_text((noisy / "config.yaml").read_text())
    assert examples(tmp_path / "e", f"run={bare}") == DataError.exit_code
    assert "no readable difficulty store" in capsys.readouterr().err
    assert examples(tmp_path / "f") == ConfigError.exit_code


def test_a_run_that_mixed_everything_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", "mixer=mixup", "epochs=1") == 0
    assert examples(tmp_path / "e", f"run={tmp_path / 'run'}") == DataError.exit_code
    assert "no record of an unmixed example" in capsys.readouterr().err


def test_the_expected_errors_are_said_by_class_pair(listed: Path) -> None:
    """259 are wrong."""
    summary = read_json(listed / "result.json")["suspects"]
    assert summary["flagged"] == summary["expected_errors"] == pytest.approx(259, rel=0.3)
    assert summary["by"] == "combined"
    numbers = [pair["number"] for pair in summary["expected_pairs"]]
    assert numbers == sorted(numbers, reverse=True)
    assert sum(numbers) == pytest.approx(summary["expected_errors"], rel=0.2)
    first = summary["expected_pairs"][0]
    text = (listed / "train.log").read_text()
    assert f"wrong labels are expected: {first['class']} taken for {first['taken_for']}: " in text
    suspected = rows(listed / "suspects.csv")[:259]
    right = [row["suggested"] == row["true_label"] for row in suspected]
    assert sum(right) > 0.8 * len(right)
    assert all(row["suggested"] != row["label"] for row in suspected)
    assert {"id", "label", "suggested", "suggested_p"} <= suspected[0].keys()


def test_the_window_is_up_to_the_best_epoch(noisy: Path, tmp_path: Path) -> None:
    lines = (noisy / "metrics.jsonl").read_text().splitlines()
    step = read_json(noisy / "result.json")["best_step"]
    (best,) = {
        json.loads(line)["epoch"] + 1
        for line in lines
        if f'"step": {step},' in line and '"split": "val"' in line
    }
    for part, first in ((None, best // 2 + 1), ("[0,1]", 1)):
        setting = [] if part is None else [f"job.window={part}"]
        folder = tmp_path / str(part)
        assert examples(folder, f"run={noisy}", "job.by=aum", "job.duplicates=false", *setting) == 0
        assert read_json(folder / "result.json")["suspects"]["window"] == [first, best]


def test_neighbors_and_rates(noisy: Path, tmp_path: Path) -> None:
    settings = "job.by=neighbors", "job.cutoff=10%"
    assert examples(tmp_path / "e", f"run={noisy}", *settings) == 0
    summary = read_json(tmp_path / "e" / "result.json")["suspects"]
    assert summary["flagged"] == 129  # 10 % of 1,294
    assert summary["precision"] > 0.8
    assert "neighbors" in rows(tmp_path / "e" / "suspects.csv")[0]


def test_several_runs_rank_together(noisy: Path, tmp_path: Path) -> None:
    """A run with itself has its own ranks, but for ties."""
    plain = "job.duplicates=false", "job.by=aum"
    assert examples(tmp_path / "one", f"run={noisy}", *plain) == 0
    assert examples(tmp_path / "two", f"runs=[{noisy},{noisy}]", *plain) == 0
    one, two = (rows(tmp_path / name / "suspects.csv") for name in ("one", "two"))
    assert [row["aum"] for row in one] == [row["aum"] for row in two]
    assert {row["id"] for row in one[:50]} == {row["id"] for row in two[:50]}
    assert "mean_rank" in two[0]
    both = f"run={noisy}", f"runs=[{noisy},{noisy}]"
    assert examples(tmp_path / "three", *both, *plain) == ConfigError.exit_code


def test_copies_are_listed_leaks_first(tmp_path: Path) -> None:
    """A test image that is a training image, and a pair in train with two labels."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (12, 12, 3)).astype(np.uint8) for _ in range(30)]
    for part, places in (("train", range(24)), ("test", range(24, 30))):
        for i in places:
            pixels = images[{25: 3, 7: 2}.get(i, i)]
            path = tmp_path / "data" / part / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    data = ["dataset=image_folder", f"dataset.root={tmp_path / 'data'}", "loader.workers=0"]
    assert train(tmp_path / "run", *data, "epochs=1", "dataset.val_fraction=0") == 0
    assert examples(tmp_path / "e", f"run={tmp_path / 'run'}") == 0
    first, second = rows(tmp_path / "e" / "duplicates.csv")
    assert (first["splits"], first["copy"]) == ("test-train", "exact")
    assert (Path(first["path"]).name, Path(first["other_path"]).name) == ("25.png", "3.png")
    assert (second["splits"], second["label"] != second["other_label"]) == ("train-train", True)
    found = read_json(tmp_path / "e" / "result.json")["duplicates"]
    assert found["test-train"] == {"exact": 1, "near": 0}


def test_without_a_model_there_are_suspects_and_no_copies(
    noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(noisy, bare, ignore=shutil.ignore_patterns("checkpoints"))
    assert examples(tmp_path / "e", f"run={bare}") == 0
    assert "copies are not looked for" in capsys.readouterr().err
    assert read_json(tmp_path / "e" / "result.json")["duplicates"] is None
    assert not (tmp_path / "e" / "duplicates.csv").exists()


def test_a_setting_that_does_not_suit_the_run_leaves_no_files(noisy: Path, tmp_path: Path) -> None:
    assert examples(tmp_path / "e", f"run={noisy}", "job.cutoff=threshold_class") == 2
    assert not [*(tmp_path / "e").glob("*.csv"), *(tmp_path / "e").glob("*.png")]


def test_an_early_window_is_judged_by_what_the_model_knew_then(noisy: Path, tmp_path: Path) -> None:
    early = "job.window=[0,0.01]", "job.duplicates=false"
    assert examples(tmp_path / "e", f"run={noisy}", *early) == 0
    found = read_json(tmp_path / "e" / "result.json")["suspects"]
    assert found["window"] == [1, 1]
    first = history.open(noisy).field("correct")[0]
    assert found["evidence"]["mean_accuracy"] == pytest.approx((first == 1).sum() / 1294)


@pytest.mark.parametrize("setting", ["job.window=[0.5,0.5]", "job.window=[1]", "job.cutoff=guess"])
def test_bad_settings_are_named(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{setting.partition('=')[0]} must be"):
        examples(tmp_path / "e", "run=nowhere", setting)
