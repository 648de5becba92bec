"""A sweep over folds, from the command line to the comparison and the suspects."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from forks import Fork
from omegaconf import OmegaConf
from support import CONF, config_of, read_json

from trainer.cli.execute import execute
from trainer.storage import out_of_fold
from trainer.sweep.folds import pool
from trainer.sweep.manifest import Job, Manifest

ROOT = Path(__file__).parents[2]
HEADER = ["id", "fold", "loss", "label", "prediction"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Two folds of digits with wrong labels, trained for two epochs; the folder and stdout."""
    folder = tmp_path_factory.mktemp("sweep") / "folds"
    given = "dataset.folds=2 dataset.fold=0,1 dataset.label_noise=0.2 epochs=2 threads=1"
    places = (f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}")
    code, out, err = Fork(ROOT, "-m", *given.split(), *places).done()
    assert code == 0, err
    return folder, out.decode()


def run_job(folder: Path, *overrides: str) -> int:
    arguments = ["quiet=true", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_example_is_predicted_once(sweep: tuple[Path, str]) -> None:
    """All but the 359 of the test split, by the run that was not trained on it."""
    folder, stdout = sweep
    pooled = rows(folder / "out_of_fold.csv")
    assert len({row["id"] for row in pooled}) == len(pooled) == 1438
    assert [row["run"] for row in pooled] == ["0"] * 719 + ["1"] * 719
    assert all(row["fold"] == row["run"] for row in pooled)
    assert "dataset.fold" not in pooled[0]["settings"].replace("dataset.folds", "")
    for row in pooled[::100]:
        assert float(row[f"p_{row['label']}"]) == pytest.approx(float(row["p_y"]), abs=1e-6)
    accuracy = sum(row["label"] == row["prediction"] for row in pooled) / len(pooled)
    assert f"out of fold: {folder / 'out_of_fold.csv'}\n" in stdout
    assert f"  1438 examples, accuracy {accuracy:.4f}\n" in stdout
    values = [read_json(folder / str(fold) / "result.json")["val"] for fold in (0, 1)]
    assert sum(v["accuracy"] for v in values) / 2 == pytest.approx(accuracy)


def test_it_is_compared(sweep: tuple[Path, str], tmp_path: Path) -> None:
    metric = "job.metric=val/accuracy"
    assert run_job(tmp_path / "c", "job=compare", f"runs={sweep[0]}", metric) == 0
    found = json.loads((tmp_path / "c" / "compare.json").read_text())
    pooled = rows(sweep[0] / "out_of_fold.csv")
    accuracy = sum(row["label"] == row["prediction"] for row in pooled) / len(pooled)
    assert found["left_out"] == []
    assert found["tables"][0]["values"] == {"0": pytest.approx(accuracy)}


def test_its_suspects_are_of_all_folds(sweep: tuple[Path, str], tmp_path: Path) -> None:
    """288 of 1,438 labels are wrong; a fifth would be found by chance."""
    run = f"run={sweep[0] / '0'}"
    assert run_job(tmp_path / "e", "job=examples", run, "job.by=out_of_fold") == 0
    summary = read_json(tmp_path / "e" / "result.json")["suspects"]
    assert summary["errors"] == 288
    assert summary["precision_at_errors"] > 0.4
    assert summary["flagged"] == summary["expected_errors"] == pytest.approx(288, rel=0.5)
    listed = rows(tmp_path / "e" / "suspects.csv")
    assert {row["fold"] for row in listed} == {"0", "1"}
    assert [float(row["p_y"]) for row in listed] == sorted(float(row["p_y"]) for row in listed)
    pooled = {row["id"]: row for row in rows(sweep[0] / "out_of_fold.csv")}
    assert all(pooled[row["id"]]["label"] == row["label"] for row in listed)


def test_a_run_without_folds_is_refused(
    sweep: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    assert run_job(alone, "epochs=1", "dataset.subset=100") == 0
    given = "job=examples", f"run={alone}", "job.by=out_of_fold"
    assert run_job(tmp_path / "e", *given) == 2
    assert "has no out_of_fold.csv with alone; give a run of a sweep" in capsys.readouterr().err
    assert not (alone / "out_of_fold.csv").exists()


# Without training


def job(sweep: Path, number: int, settings: str, fold: int, rows: list[list[Any]]) -> Job:
    folder = sweep / str(number)
    folder.mkdir(parents=True)
    if rows:
        out_of_fold.write_rows(folder, HEADER, rows)
    overrides = [*settings.split(), f"dataset.fold={fold}"]
    config = OmegaConf.create(config_of("dataset.folds=3", f"dataset.fold={fold}"))
    return Job(number, overrides, folder, config, "finished")


def test_settings_and_folds_that_lack_are_shown(tmp_path: Path) -> None:
    sweep = tmp_path / "s"
    jobs = [
        job(sweep, 0, "seed=0 epochs=1", 0, [[1, 0, 0.5, "a", "a"], [2, 0, 0.5, "a", "b"]]),
        job(sweep, 1, "seed=0 epochs=1", 1, [[3, 1, 0.5, "b", "b"]]),
        job(sweep, 2, "seed=1 epochs=1", 2, [[3, 2, 0.5, "b", "b"]]),
        job(sweep, 3, "seed=1 epochs=1", 0, []),
    ]
    manifest = Manifest(sweep, jobs)
    about = pool(manifest)
    manifest.release()
    assert about is not None
    assert about.splitlines()[1:] == [
        "  seed=0: 3 examples, accuracy 0.6667, only folds 0, 1 of 3",
        "  seed=1: 1 example, accuracy 1.0000, only folds 2 of 3",
    ]
    assert [row["settings"] for row in rows(sweep / "out_of_fold.csv")] == [
        *["seed=0 epochs=1"] * 3,
        "seed=1 epochs=1",
    ]


def test_whole_sets_of_labels_are_counted_as_exact_matches(tmp_path: Path) -> None:
    rows = [[1, 0, 0.5, "a;b", "a;b"], [2, 0, 0.5, "a;b", "a"]]
    one = job(tmp_path / "s", 0, "seed=0", 0, rows)
    assert one.config is not None
    one.config.task = {"_target_": "trainer.task.multilabel.Multilabel"}
    manifest = Manifest(tmp_path / "s", [one])
    about = pool(manifest)
    manifest.release()
    assert about is not None
    assert about.endswith("  2 examples, exact_match 0.5000, only folds 0 of 3")


def test_nothing_is_written_without_folds(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "s", [job(tmp_path / "s", 0, "seed=0", 0, [])])
    assert pool(manifest) is None
    manifest.release()
    assert not (tmp_path / "s" / "out_of_fold.csv").exists()


def test_a_damaged_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = job(tmp_path / "s", 0, "seed=0", 0, [[1, 0, 0.5, "a", "a"]])
    assert made.folder is not None
    (made.folder / "out_of_fold.csv").write_text("id,fold\n1\n")
    manifest = Manifest(tmp_path / "s", [made])
    assert pool(manifest) is None
    manifest.release()
    assert "out-of-fold predictions are not pooled: " in capsys.readouterr().err
