"""What is found of each box, and which are suspect, by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.job.examples.objects import objects_of, suspects

HERE, THERE = [10.0, 10, 30, 30], [50.0, 50, 70, 70]
LOOSE = [10.0, 10, 42, 30]  # intersection over union of 20 / 32 with HERE


def records(labels: list[list[float]], found: list[list[float]]) -> dict[str, Tensor]:
    """One image with labels (class, edges) and found boxes (class, edges, score)."""
    rows = torch.tensor(found).reshape(1, -1, 6)
    return {
        "objects": torch.tensor(labels).reshape(1, -1, 5),
        "boxes": rows[..., 1:5],
        "scores": rows[..., 5],
        "classes": rows[..., 0].long(),
    }


def kinds(labels: list[list[float]], found: list[list[float]]) -> list[str]:
    made = records(labels, found)
    return [each.kind for each in suspects(made, objects_of(made))]


def test_what_is_found_of_each_object() -> None:
    made = records(
        [[1, *HERE], [2, *THERE], [-1, 0, 0, 90, 90], [0] * 5],
        [[1, *HERE, 0.9], [1, *LOOSE, 0.95], [2, *HERE, 0.3], [3, *THERE, 0.7], [0] * 6],
    )
    found = objects_of(made)
    assert found.box.tolist() == [0, 1]
    assert found.kind.tolist() == [1, 2]
    np.testing.assert_allclose(found.score, [0.95, 0], atol=1e-6)
    assert found.other.tolist() == [2, 3]
    np.testing.assert_allclose(found.other_score, [0.3, 0.7], atol=1e-6)
    np.testing.assert_allclose(found.iou, [20 / 32, np.nan])


def test_boxes_that_are_right_are_not_suspect() -> None:
    assert kinds([[1, *HERE]], [[1, *HERE, 0.9], [2, *THERE, 0.4]]) == []


def test_another_class_with_a_higher_score_makes_a_box_suspect() -> None:
    made = records([[1, *HERE]], [[2, *HERE, 0.9], [1, *HERE, 0.2]])
    (found,) = suspects(made, objects_of(made))
    assert (found.kind, found.label, found.suggested, found.box) == ("wrong", 1, 2, 0)
    assert found.suspicion == pytest.approx(0.7)
    assert kinds([[1, *HERE]], [[2, *HERE, 0.4]]) == []


def test_a_sure_box_apart_from_all_labels_is_missing() -> None:
    made = records([[1, *HERE]], [[1, *HERE, 0.9], [3, *THERE, 0.8]])
    (found,) = suspects(made, objects_of(made))
    assert (found.kind, found.label, found.suggested, found.box) == ("missing", 0, 3, None)
    assert found.suspicion == pytest.approx(0.8)
    assert found.edges.tolist() == THERE


def test_nothing_is_missing_in_a_crowd() -> None:
    assert kinds([[-3, 0, 0, 90, 90]], [[3, *THERE, 0.8]]) == []


def test_a_box_that_overlaps_a_sure_one_badly_is_loose() -> None:
    made = records([[1, *HERE]], [[1, *LOOSE, 0.9]])
    (found,) = suspects(made, objects_of(made))
    assert (found.kind, found.label, found.suggested) == ("loose", 1, 1)
    assert found.suspicion == pytest.approx(1 - 20 / 32)
    assert found.found is not None
    assert found.found.tolist() == LOOSE


def test_the_most_suspect_box_is_first() -> None:
    labels = [[1, *HERE], [1, *THERE]]
    assert kinds(labels, [[2, *THERE, 0.9], [1, *LOOSE, 0.9]]) == ["wrong", "loose"]
    assert objects_of(records([[0.0] * 5], [[0.0] * 6])).image.tolist() == []
