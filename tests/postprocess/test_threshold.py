"""Thresholds against scikit-learn's curves, and costs against exhaustive search."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve
from support import train

from trainer.postprocess.threshold import Threshold


def fitted(outputs, labels, **settings) -> Threshold:
    postprocess = Threshold(**settings)
    postprocess.prepare(torch.ones(outputs.shape[1]))
    postprocess.fit(outputs, labels)
    return postprocess


def curve(labels, scores):
    precision, recall, thresholds = precision_recall_curve(labels.numpy(), scores.numpy())
    return precision[:-1], recall[:-1], thresholds


def f1_of(precision, recall):
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def test_by_hand():
    """p_1 is 0.9, 0.4, 0.3, 0.1 and the first and third are positive: accepting three has F1 0.8.

    The threshold is midway in log odds between 0.3 and 0.1.
    """
    p = torch.tensor([0.9, 0.4, 0.3, 0.1], dtype=torch.float64)
    outputs, labels = torch.stack([1 - p, p], 1).log(), torch.tensor([1, 0, 1, 0])
    postprocess = fitted(outputs, labels)
    odds = (0.3 / 0.7 * 0.1 / 0.9) ** 0.5
    assert postprocess.fitted["threshold"] == pytest.approx([odds / (1 + odds)])
    assert postprocess(outputs).argmax(1).tolist() == [1, 1, 1, 0]
    assert postprocess.measure(postprocess(outputs), labels) == {"f1": pytest.approx(0.8)}
    assert postprocess.measure(outputs, labels) == {"f1": pytest.approx(2 / 3)}


def test_two_classes_have_one_threshold_on_p_1(binary):
    """Predicting argmax p_c / t_c, that is argmax z_c − log t_c, means 1 where p_1 > t."""
    outputs, labels = binary
    postprocess = fitted(outputs, labels)
    (threshold,) = postprocess.fitted["threshold"]
    p = outputs.double().softmax(1)
    assert abs(threshold - 0.5) > 0.02
    assert torch.equal(postprocess(outputs).argmax(1) == 1, p[:, 1] > threshold)
    divided = p / torch.tensor([1 - threshold, threshold])
    assert torch.equal(postprocess(outputs).argmax(1), divided.argmax(1))


def test_f1_is_the_best_of_the_curve(binary):
    outputs, labels = binary
    postprocess = fitted(outputs, labels)
    precision, recall, thresholds = curve(labels, outputs.double().softmax(1)[:, 1])
    at = f1_of(precision, recall).argmax()
    assert thresholds[at - 1] < postprocess.fitted["threshold"][0] < thresholds[at]
    prediction = postprocess(outputs).argmax(1)
    assert f1_score(labels, prediction) == pytest.approx(f1_of(precision, recall).max())


@pytest.mark.parametrize("target", [0.6, 0.9, 0.97])
def test_recall_is_the_highest_at_the_required_precision(binary, target):
    outputs, labels = binary
    postprocess = fitted(outputs, labels, objective="recall_at_precision", precision=target)
    precision, recall, thresholds = curve(labels, outputs.double().softmax(1)[:, 1])
    best = recall[precision >= target].max()
    metrics = postprocess.measure(postprocess(outputs), labels)
    assert metrics["recall"] == pytest.approx(best)
    assert metrics["precision"] >= target
    at = np.flatnonzero((recall == best) & (precision >= target)).max()
    assert thresholds[at - 1] < postprocess.fitted["threshold"][0] < thresholds[at]


def test_without_a_precise_enough_threshold_the_most_precise_is_used():
    """Here 2 of 3 are correct."""
    p = torch.tensor([0.9, 0.8, 0.7, 0.2])
    outputs, labels = torch.stack([1 - p, p], 1).log(), torch.tensor([0, 1, 1, 0])
    postprocess = fitted(outputs, labels, objective="recall_at_precision")
    assert postprocess(outputs).argmax(1).tolist() == [1, 1, 1, 0]


def test_per_class_thresholds_are_the_best_of_each_curve(many):
    outputs, labels = many
    postprocess = fitted(outputs, labels, per_class=True)
    p = outputs.double().softmax(1)
    for c, threshold in enumerate(postprocess.fitted["threshold"]):
        precision, recall, thresholds = curve(labels == c, p[:, c])
        at = f1_of(precision, recall).argmax()
        assert thresholds[at - 1] < threshold < thresholds[at]
    divided = p / torch.tensor(postprocess.fitted["threshold"])
    assert torch.equal(postprocess(outputs).argmax(1), divided.argmax(1))
    f1 = postprocess.measure(postprocess(outputs), labels)["f1"]
    assert f1 == pytest.approx(f1_score(labels, postprocess(outputs).argmax(1), average="macro"))


def test_one_threshold_among_many_classes(many):
    """Only predictions from or to class 2 change."""
    outputs, labels = many
    postprocess = fitted(outputs, labels, positive=2)
    before, after = outputs.argmax(1), postprocess(outputs).argmax(1)
    moved = before != after
    assert moved.any()
    assert ((before == 2) | (after == 2))[moved].all()
    tried = [
        f1_score(labels == 2, (outputs + shift * torch.eye(5)[2]).argmax(1) == 2)
        for shift in np.linspace(-6, 6, 19)
    ]
    assert f1_score(labels == 2, after == 2) >= max(tried)


def total_cost(outputs, labels, costs) -> float:
    return torch.tensor(costs)[labels, outputs.argmax(1)].sum().item()


def test_cost_of_two_classes_is_the_minimum(binary):
    """Missing class 1 costs ten times a false alarm; every threshold is tried."""
    outputs, labels = binary
    costs = [[0.0, 1.0], [10.0, 0.0]]
    postprocess = fitted(outputs, labels, objective="cost", cost_matrix=costs)
    p = outputs.double().softmax(1)[:, 1]
    tried = [torch.tensor(costs)[labels, (p > t).long()].sum().item() for t in [-1.0, *p.tolist()]]
    assert total_cost(postprocess(outputs), labels, costs) == pytest.approx(min(tried))
    assert postprocess.fitted["threshold"][0] < 0.5
    assert postprocess.measure(postprocess(outputs), labels)["cost"] == pytest.approx(
        min(tried) / 500
    )


def test_cost_per_class_against_a_grid(overconfident):
    """For three classes, no shift on the grid is cheaper by more than 1 %."""
    outputs, labels = overconfident(300, 3, 4)
    costs = [[0.0, 1.0, 4.0], [2.0, 0.0, 1.0], [8.0, 3.0, 0.0]]
    postprocess = fitted(outputs, labels, objective="cost", per_class=True, cost_matrix=costs)
    grid = torch.linspace(-8, 8, 33)
    tried = [
        total_cost(outputs + torch.tensor([a, b, 0.0]), labels, costs)
        for a, b in itertools.product(grid, grid)
    ]
    cost = total_cost(postprocess(outputs), labels, costs)
    assert cost <= 1.01 * min(tried)
    assert cost < 0.9 * total_cost(outputs, labels, costs)


def test_equal_costs_shift_nothing(many):
    outputs, labels = many
    costs = [[1.0] * 5] * 5
    postprocess = fitted(outputs, labels, objective="cost", per_class=True, cost_matrix=costs)
    assert postprocess.fitted["shift"] == [0] * 5


def test_equal_scores_stay_together():
    p = torch.tensor([0.6, 0.6, 0.6, 0.2])
    outputs, labels = torch.stack([1 - p, p], 1).log(), torch.tensor([1, 0, 0, 0])
    postprocess = fitted(outputs, labels)
    assert postprocess(outputs).argmax(1).tolist() == [1, 1, 1, 0]


def test_a_class_absent_from_val_is_not_shifted(many):
    outputs, labels = many
    assert fitted(outputs, labels % 2, positive=4).fitted["shift"] == [0] * 5
    per_class = fitted(outputs, labels % 2, per_class=True)
    assert per_class.fitted["threshold"][2:] == pytest.approx([0.5] * 3)


def test_bad_settings_are_named():
    needed = r"postprocess\.cost_matrix .*postprocess\.objective=cost.* got objective"
    with pytest.raises(ValueError, match=f"{needed} cost and cost_matrix None"):
        Threshold(objective="cost")
    with pytest.raises(ValueError, match=rf"{needed} f1 and cost_matrix \[\[0, 1\]"):
        Threshold(cost_matrix=[[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"postprocess\.positive must be a class, 0 to 1, got 2"):
        Threshold(positive=2).prepare(torch.ones(2))
    with pytest.raises(ValueError, match=r"cost_matrix must be 3 lists of 3 numbers"):
        Threshold(objective="cost", cost_matrix=[[0, 1], [1, 0]]).prepare(torch.ones(3))


def test_a_class_out_of_range_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"postprocess\.positive must be a class, 0 to 9, got 10"):
        train(tmp_path / "run", "postprocess=threshold", "postprocess.positive=10")
    assert not (tmp_path / "run").exists()


SEVERAL_RNG = torch.Generator().manual_seed(3)
SEVERAL = torch.rand(300, 4, generator=SEVERAL_RNG) < torch.tensor([0.5, 0.2, 0.1, 0.0])
SCORES = torch.randn(300, 4, generator=SEVERAL_RNG) + 1.5 * SEVERAL - 1


def test_several_labels_have_the_threshold_of_the_best_f1_each():
    postprocess = fitted(SCORES, SEVERAL)
    decided = postprocess(SCORES) > 0
    thresholds = torch.tensor(postprocess.fitted["threshold"])
    assert torch.equal(decided, SCORES.double().sigmoid() > thresholds)
    assert thresholds[3] == 0.5, "val has no example of it"
    for c in range(3):
        precision, recall, _ = curve(SEVERAL[:, c], SCORES[:, c])
        best = f1_of(precision, recall).max()
        assert f1_score(SEVERAL[:, c], decided[:, c]) == pytest.approx(best)
    assert postprocess.measure(postprocess(SCORES), SEVERAL) == {}, "the task has macro F1"


def test_several_labels_at_a_precision():
    settings = {"objective": "recall_at_precision", "precision": 0.6}
    postprocess = fitted(SCORES[:, :3], SEVERAL[:, :3], **settings)
    decided = postprocess(SCORES[:, :3]) > 0
    for c in range(2):
        precision, recall, _ = curve(SEVERAL[:, c], SCORES[:, c])
        hits = (decided[:, c] & SEVERAL[:, c]).sum()
        assert hits / decided[:, c].sum() >= 0.6
        assert hits / SEVERAL[:, c].sum() == pytest.approx(recall[precision >= 0.6].max())
    assert postprocess.measure(postprocess(SCORES[:, :3]), SEVERAL[:, :3]).keys() == {
        "precision",
        "recall",
    }


def test_costs_are_not_for_several_labels():
    assert "multilabel" in Threshold().targets
    assert "multilabel" not in Threshold(objective="cost", cost_matrix=[[0, 1], [1, 0]]).targets
