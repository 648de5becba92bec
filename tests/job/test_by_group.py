"""Accuracy by group: the worst first."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.job.shared import by_group
from trainer.training.evaluate import Evaluation, worst_group


def evaluation(correct: list[float], groups: list[int]) -> Evaluation:
    records = {"correct": torch.tensor(correct), "group": torch.tensor(groups)}
    return Evaluation(torch.arange(len(correct)), torch.empty(0), records, worst_group(records))


def test_worst_group_by_hand() -> None:
    """Group 0 has 2 of 3 right, group 2 has 1 of 4, group 3 all; group 1 has no example here."""
    made = evaluation([1, 1, 0, 1, 0, 0, 0, 1], [0, 0, 0, 2, 2, 2, 2, 3])
    assert made.metrics == {"worst_group_accuracy": 0.25}
    rows = by_group.rows_of(made, ("a", "b", "c", "d"))
    assert rows == [("c", 4, 0.25), ("a", 3, pytest.approx(2 / 3)), ("d", 1, 1.0)]
    assert by_group.result({"val": made}, ("a", "b", "c", "d"))["groups"]["val"]["c"] == {
        "examples": 4,
        "accuracy": 0.25,
    }


def test_nothing_without_groups(tmp_path: Path) -> None:
    made = Evaluation(torch.arange(2), torch.empty(0), {"correct": torch.ones(2)}, {})
    assert worst_group(made.records) == {}
    assert by_group.result({"val": made}, ()) == {}
    assert by_group.write(tmp_path, {"val": made}, ()) == []
    assert not list(tmp_path.iterdir())


def test_all_groups_are_written_and_ten_are_shown(tmp_path: Path) -> None:
    names = tuple(f"g{i}" for i in range(120))
    made = evaluation([float(i % 7 > 0) for i in range(240)], [i // 2 for i in range(240)])
    (shown,) = by_group.write(tmp_path, {"test": made}, names)
    assert shown.row_count == 10
    assert shown.title == "test by group, the worst 10 of 120"
    rows = list(csv.reader((tmp_path / "groups.csv").read_text().splitlines()))
    assert rows[0] == ["split", "group", "examples", "accuracy"]
    assert len(rows) == 121
    assert len(by_group.result({"test": made}, names)["groups"]["test"]) == 100


def test_several_labels_are_an_exact_match(tmp_path: Path) -> None:
    """Group a has 1 of 2 examples with every label right; no column is called accuracy."""
    made = evaluation([1, 0, 1], [0, 0, 1])
    records = made.records | {"label_accuracy": torch.tensor([1, 0.9, 1])}
    assert worst_group(records) == {"worst_group_exact_match": 0.5}
    evaluations = {"val": replace(made, records=records)}
    found = by_group.result(evaluations, ("a", "b"))["groups"]["val"]
    assert found["a"] == {"examples": 2, "exact_match": 0.5}
    (shown,) = by_group.write(tmp_path, evaluations, ("a", "b"))
    assert [column.header for column in shown.columns] == ["group", "examples", "exact_match"]
    header = (tmp_path / "groups.csv").read_text().splitlines()[0]
    assert header == "split,group,examples,exact_match"
