"""Metrics over folds are those of all out-of-fold predictions together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.compare.t import StudentT
from trainer.core.errors import ConfigError
from trainer.dataset import Data, Split
from trainer.dataset.base import Pixels
from trainer.job.compare.comparison import compare
from trainer.job.compare.folds import pool_folds, validations
from trainer.job.compare.runs import FinishedRun, find_runs, read_run
from trainer.job.compare.sentences import notes
from trainer.job.shared import out_of_fold
from trainer.task import Classification, Multilabel, Regression, Segmentation
from trainer.task.base import Task
from trainer.training.evaluate import Evaluation, worst_group

Runs = Callable[..., Path]

CLASSES = ("=cat", "dog", "y")
SIZES = 7, 5
TASKS: dict[str, tuple[Task, Callable[[int], tuple[Tensor, Tensor]]]] = {
    "classification": (
        Classification(),
        lambda n: (torch.randn(n, 3) * 30, torch.randint(3, (n,))),  # p_y is 1 in float32
    ),
    "multilabel": (Multilabel(), lambda n: (torch.randn(n, 3) * 30, torch.rand(n, 3) > 0.5)),
    "segmentation": (
        Segmentation(),
        lambda n: (
            torch.randn(n, 3, 4, 4),
            torch.randint(3, (n, 4, 4)).masked_fill_(torch.rand(n, 4, 4) > 0.7, 255),
        ),
    ),
    "regression": (Regression(), lambda n: (torch.randn(n, 2), torch.randn(n, 2))),
}


def metrics_of(task: Task, outputs: Tensor, records: dict[str, Tensor]) -> dict[str, float]:
    report = task.report(outputs, records, CLASSES).metrics
    return task.metrics(records) | report | worst_group(records)


@pytest.fixture
def folded(make: Runs, node: Callable[[str, str], dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Writes two folds of a task; returns the metrics of both together."""

    def write(name: str, split: str = "val", **changes: Any) -> dict[str, Any]:
        torch.manual_seed(0)
        task, draw = TASKS[name]
        drawn = [draw(n) for n in SIZES]
        every = torch.cat([outputs for outputs, _ in drawn])
        parts = []
        for fold, (outputs, labels) in enumerate(drawn):
            ids = torch.arange(len(labels))
            records = {"loss": torch.rand(len(ids)), **task.records(outputs, labels)}
            if labels.ndim < 3 and name != "regression":
                records["group"] = ids % 2
            parts.append(records)
            images = Pixels(torch.zeros(len(ids), 1, 2, 2, dtype=torch.uint8))
            data = Split(images, labels, ids)
            none = replace(data, ids=ids[:0])
            val = metrics_of(task, outputs, records)
            folder = make(
                f"{name}-{fold}",
                0,
                0.5,
                (0.1, 0.2),
                settings={
                    "dataset": node("dataset", "digits") | {"folds": 2, "fold": fold},
                    "task": node("task", name) | changes,
                },
                result={split: val, "val": val},
            )
            about = Data(none, data, none, CLASSES, (0.0,), (1.0,), groups=("a", "=b"))
            kept = outputs if outputs.ndim == 2 else outputs.new_empty(0)
            made = Evaluation(ids, kept, records, {})
            out_of_fold.write(folder, fold, made, about)
        together = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        return metrics_of(task, every, together)

    return write


def pooled(folder: Path) -> FinishedRun:
    (run,) = pool_folds([read_run(path) for path in find_runs([str(folder / "runs")])])
    assert isinstance(run, FinishedRun)
    return run


@pytest.mark.parametrize("name", TASKS)
def test_metrics_equal_those_of_the_joined_predictions(
    folded: Callable[..., dict[str, Any]], tmp_path: Path, name: str
) -> None:
    expected = folded(name)
    run = pooled(tmp_path)
    val = {key: value for key, value in run.result["val"].items() if key != "loss"}
    assert val == pytest.approx(expected, abs=1e-12)
    assert not run.not_pooled


def test_after_postprocessing_set_metrics_are_left_out_and_named(
    folded: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    expected = folded("multilabel", "val_before")
    run = pooled(tmp_path)
    assert run.result["val_before"]["mAP"] == pytest.approx(expected["mAP"])
    assert set(run.result["val"]) == {"exact_match", "label_accuracy"}
    lost = ["val/mAP", "val/macro_f1", "val/micro_f1", "val/worst_group_exact_match"]
    assert list(run.not_pooled) == lost
    found = compare([run], interval=StudentT(), metric="val/exact_match")
    assert any(f"not known of all folds together: {', '.join(lost)}: " in n for n in notes(found))
    with pytest.raises(ConfigError, match=r"job.metric=val/mAP is not known of all folds together"):
        compare([run], interval=StudentT(), metric="val/mAP")


def test_metrics_of_an_own_task_are_left_out_and_named(
    folded: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    folded("regression", _target_="mine.Regression")
    run = pooled(tmp_path)
    assert set(run.result["val"]) == {"mse", "mae", "rmse"}
    assert run.not_pooled == ("val/r2",)


def test_validations_keep_means_alone(make: Runs, tmp_path: Path) -> None:
    run = read_run(make("a", 0, 0.5, (0.1, 0.2)))
    assert isinstance(run, FinishedRun)
    lines = [{"split": "val", "epochs": 1, "mAP": 0.5, "exact_match": e} for e in (0.2, 0.5)]
    runs = [replace(run, validations=[line]) for line in lines]
    (merged,) = validations(runs, [2, 1])
    assert merged == {"split": "val", "epochs": 1, "exact_match": pytest.approx(0.3)}
