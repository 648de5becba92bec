"""What a run predicts for its own fold, as written and as read."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Data, Split
from trainer.dataset.base import Pixels
from trainer.job.shared import out_of_fold
from trainer.storage import out_of_fold as storage
from trainer.training.evaluate import Evaluation

CLASSES = ("=cat", "dog", "owl")


def data_of(labels: Tensor, truth: Tensor | None = None) -> Data:
    """Six images, of which 0, 2 and 4 are val."""
    split = Split(Pixels(torch.zeros(6, 1, 2, 2, dtype=torch.uint8)), labels, torch.arange(6))
    train, val = (replace(split, ids=torch.arange(first, 6, 2)) for first in (1, 0))
    none = replace(split, ids=torch.arange(0))
    return Data(train, val, none, CLASSES, (0.0,), (1.0,), true_labels=truth)


def evaluation(data: Data, outputs: Tensor, **records: Tensor) -> Evaluation:
    labels = data.val.labels[data.val.ids]
    given = {"label": labels, "loss": torch.tensor([0.5, 1.5, 2.5]), **records}
    return Evaluation(data.val.ids, outputs, given, {})


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_classes_by_hand(tmp_path: Path) -> None:
    data = data_of(torch.tensor([0, 1, 2, 0, 1, 2]))
    outputs = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]).log()
    made = evaluation(
        data, outputs, prediction=outputs.argmax(1), confidence=torch.tensor([0.6, 0.1, 0.8])
    )
    found = rows(out_of_fold.write(tmp_path, 3, made, data))
    assert [row["id"] for row in found] == ["0", "2", "4"]
    assert {row["fold"] for row in found} == {"3"}
    assert [row["label"] for row in found] == ["'=cat", "owl", "dog"]
    assert [row["prediction"] for row in found] == ["'=cat", "dog", "dog"]
    assert [float(row["p_dog"]) for row in found] == pytest.approx([0.3, 0.7, 0.8])
    assert [row["loss"] for row in found] == ["0.5", "1.5", "2.5"]


def test_several_labels(tmp_path: Path) -> None:
    labels = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]]).bool()
    data = data_of(labels)
    outputs = torch.tensor([[2.0, -1, -1], [-1, -1, -1], [0, 3, 0]])
    made = evaluation(data, outputs, confidence=torch.tensor([0.5, 0.7, 0.8]))
    found = rows(out_of_fold.write(tmp_path, 0, made, data))
    assert [row["label"] for row in found] == ["'=cat;owl", "", "dog"]
    assert [row["prediction"] for row in found] == ["'=cat", "", "dog"]
    assert float(found[0]["p_dog"]) == pytest.approx(torch.tensor(-1.0).sigmoid().item())


def test_other_tasks_have_the_loss_alone(tmp_path: Path) -> None:
    data = data_of(torch.rand(6, 2))
    found = rows(out_of_fold.write(tmp_path, 1, evaluation(data, torch.empty(0)), data))
    assert list(found[0]) == ["id", "fold", "loss"]


def pooled(sweep: Path, labels: list[str], p_y: list[float], **changed: Any) -> Path:
    """A sweep's file on the six images; returns the run of its first fold."""
    names = ["run", "settings", "id", "fold", "loss", "label", "prediction", "p_y"]
    lines = [
        [i % 2, "epochs=1", changed.get("ids", range(6))[i], i % 2, 1.0, label, "dog", p]
        for i, (label, p) in enumerate(zip(labels, p_y, strict=True))
    ]
    storage.write_rows(sweep, names, lines)
    return sweep / "0"


LABELS = ["=cat", "dog", "owl", "=cat", "dog", "owl"]
P_Y = [0.9, 0.2, 0.1, 0.34, 0.6, 0.3]


def test_suspects_of_all_folds(tmp_path: Path) -> None:
    """1/3 is a guess: three labels are below it, and two of them are wrong."""
    ids = torch.tensor([0, 1, 2, 0, 1, 2])
    data = data_of(ids, truth=torch.tensor([0, 0, 1, 0, 1, 2]))
    found, listed, expected = out_of_fold.suspects(pooled(tmp_path, LABELS, P_Y), data, None, 2)
    assert expected is None  # the file has no probabilities of the classes
    assert found.ids.tolist() == [2, 1, 5, 3, 4, 0]
    assert (found.flagged, found.errors, found.cutoff) == (3, 2, pytest.approx(1 / 3))
    assert found.precision_recall(3) == (pytest.approx(2 / 3), 1.0)
    assert [row["label"] for row in listed] == ["owl", "dog", "owl"]
    assert [row["true_label"] for row in listed] == ["dog", "=cat", "owl"]
    assert [row["suggested"] for row in listed] == ["dog", "", "dog"]  # all are taken for dogs
    assert [row["fold"] for row in listed] == ["0", "1", "1"]
    few, listed, _ = out_of_fold.suspects(tmp_path / "0", data, 0.15, 4)
    assert (few.flagged, len(listed)) == (1, 4)


def test_labels_of_val_are_those_of_val(tmp_path: Path) -> None:
    """Corrected in one split alone, as corrections are."""
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    data = data_of(labels)
    changed = replace(data.val, labels=torch.tensor([1, 9, 2, 9, 1, 9]))
    run = pooled(tmp_path, ["dog", *LABELS[1:]], P_Y)
    found, *_ = out_of_fold.suspects(run, replace(data, val=changed), None, 6)
    assert len(found.ids) == 6


@pytest.mark.parametrize("changed", [{"ids": [0, 1, 2, 3, 4, 6]}, {"ids": [1, 0, 2, 3, 4, 5]}])
def test_other_data_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    data = data_of(torch.tensor([0, 1, 2, 0, 1, 2]))
    run = pooled(tmp_path, LABELS, P_Y, **changed)
    with pytest.raises(DataError, match="has other examples or labels than the data set"):
        out_of_fold.suspects(run, data, None, 6)


def test_a_run_of_no_sweep_is_refused(tmp_path: Path) -> None:
    data = data_of(torch.tensor([0, 1, 2, 0, 1, 2]))
    with pytest.raises(ConfigError, match=r"job.by=out_of_fold: .* has no out_of_fold.csv with 7"):
        out_of_fold.suspects(pooled(tmp_path, LABELS, P_Y).with_name("7"), data, None, 6)
    assert np.isnan(storage.OutOfFold.of([{"id": "1", "fold": "0", "loss": "1"}]).p_y).all()
