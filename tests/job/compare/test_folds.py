"""The runs of all folds count as one run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.compare.t import StudentT
from trainer.job.compare.comparison import compare
from trainer.job.compare.folds import pool_folds
from trainer.job.compare.runs import FinishedRun, SkippedRun, find_runs, read_run
from trainer.storage import out_of_fold

Runs = Callable[..., Path]

HEADER = ["id", "fold", "loss", "label", "prediction", "p_y"]


@pytest.fixture
def folded(make: Runs, node: Callable[[str, str], dict[str, Any]]) -> Callable[..., Path]:
    """Writes a run of one of two folds with its out-of-fold predictions, right or wrong."""

    def write(name: str, seed: int, fold: int, right: list[bool], mining: str = "none") -> Path:
        dataset = node("dataset", "digits") | {"folds": 2, "fold": fold}
        value = sum(right) / len(right)
        folder = make(
            name,
            seed,
            0.8 + 0.1 * fold,
            (value / 2, value),
            groups={"mining": mining},
            settings={"dataset": dataset},
            result={"val": {"accuracy": value, "loss": 9.0, "nll": 1.0 + fold}},
        )
        rows = [
            [i, fold, 0.5 * i, "ab"[i % 2], "ab"[i % 2 if yes else 1 - i % 2], 0.5]
            for i, yes in enumerate(right)
        ]
        out_of_fold.write_rows(folder, HEADER, rows)
        return folder

    return write


def pooled(folder: Path) -> list[FinishedRun | SkippedRun]:
    return pool_folds([read_run(path) for path in find_runs([str(folder)])])


def test_two_folds_by_hand(folded: Callable[..., Path], tmp_path: Path) -> None:
    """1 of 2 and 4 of 4 right is 5 of 6; of label a 2 of 3, of b 3 of 3."""
    folded("x-0", 0, 0, [False, True])
    folded("x-1", 0, 1, [True] * 4)
    (run,) = pooled(tmp_path / "runs")
    assert isinstance(run, FinishedRun)
    val = run.result["val"]
    assert val["accuracy"] == pytest.approx(5 / 6)
    assert val["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert val["loss"] == pytest.approx(0.5 * (1 + 1 + 2 + 3) / 6)  # not the 9 of the results
    assert val["nll"] == pytest.approx((2 * 1 + 4 * 2) / 6)
    assert run.result["test"]["accuracy"] == pytest.approx(0.85)
    assert run.result["backward_passes"] == 400  # of two runs
    assert run.result["epochs"] == 2
    assert run.config["dataset"]["fold"] is None
    assert [line["accuracy"] for line in run.validations] == pytest.approx([2.5 / 6, 5 / 6])
    assert [line["backward_passes"] for line in run.validations] == [200, 400]
    assert [line["epochs"] for line in run.validations] == [1, 2]


def test_several_labels_have_no_accuracy(folded: Callable[..., Path], tmp_path: Path) -> None:
    for fold in (0, 1):
        result = folded(f"x-{fold}", 0, fold, [True, False]) / "result.json"
        values = json.loads(result.read_text()) | {"val": {"exact_match": 0.5, "loss": 9.0}}
        result.write_text(json.dumps(values))
    (run,) = pooled(tmp_path / "runs")
    assert isinstance(run, FinishedRun)
    assert run.result["val"] == {"exact_match": 0.5, "loss": pytest.approx(0.25)}


def test_the_file_of_the_sweep_comes_first(folded: Callable[..., Path], tmp_path: Path) -> None:
    for fold in (0, 1):
        folded(f"x-{fold}", 0, fold, [True, True])
    rows = [[f"x-{f}", "", i, f, 0, "a", "b", 0.1] for f in (0, 1) for i in range(2)]
    out_of_fold.write_rows(tmp_path / "runs", ["run", "settings", *HEADER], rows)
    (run,) = pooled(tmp_path / "runs")
    assert isinstance(run, FinishedRun)
    assert run.result["val"]["accuracy"] == 0


def test_seeds_are_what_is_compared(folded: Callable[..., Path], tmp_path: Path) -> None:
    for mining, hits in {"none": 2, "ohem": 3}.items():
        for seed in range(3):
            for fold in (0, 1):
                right = [i < hits + (seed == fold) for i in range(4)]
                folded(f"{mining}-{seed}-{fold}", seed, fold, right, mining)
    found = compare(pooled(tmp_path / "runs"), interval=StudentT(), metric="val/accuracy")
    assert [group.label for group in found.groups] == ["mining=none", "mining=ohem"]
    assert [group.seeds for group in found.groups] == [[0, 1, 2]] * 2
    means = [row.summary.mean for row in found.final.rows]
    assert means == pytest.approx([14 / 24, 20 / 24])


def test_a_fold_that_lacks_or_repeats_is_named(folded: Callable[..., Path], tmp_path: Path) -> None:
    folded("a", 0, 0, [True])
    folded("b", 0, 1, [True])
    folded("c", 0, 1, [True])
    folded("d", 1, 1, [True])
    reasons = [run.reason for run in pooled(tmp_path / "runs") if isinstance(run, SkippedRun)]
    assert reasons == [
        f"repeats {tmp_path / 'runs' / 'b'}",
        "of 2 folds only 1 are there; run the others with dataset.fold=...",
    ]


def test_unreadable_predictions_leave_the_runs_out(
    folded: Callable[..., Path], tmp_path: Path
) -> None:
    folded("a", 0, 0, [True])
    (folded("b", 0, 1, [True]) / out_of_fold.FILE).write_text("id\nx\n")
    runs = pooled(tmp_path / "runs")
    assert all(isinstance(run, SkippedRun) and "cannot be read" in run.reason for run in runs)


def test_runs_without_folds_stay_as_they_are(make: Runs, tmp_path: Path) -> None:
    make("a", 0, 0.9)
    make("b", 1, 0.9, state="failed")
    runs = [read_run(path) for path in find_runs([str(tmp_path / "runs")])]
    assert pool_folds(runs) == runs
