"""Multi-label metrics against scikit-learn, and records by hand."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, hamming_loss
from torch import Tensor

from trainer.task.multilabel import Multilabel
from trainer.task.shared.ranking import average_precision

TASK = Multilabel()
RNG = torch.Generator().manual_seed(0)
LABELS = torch.rand(200, 6, generator=RNG) < torch.tensor([0.5, 0.3, 0.1, 0.05, 0.8, 0.2])
LOGITS = torch.randn(200, 6, generator=RNG) + 2 * LABELS - 1
TIED = (2 * LOGITS).round() / 2  # a few thresholds, each shared by many examples

Z = torch.tensor([[2.0, -1.0, 0.5], [-2.0, -1.0, 3.0]])
Y = torch.tensor([[True, False, False], [False, True, True]])


def measured(logits: Tensor, labels: Tensor) -> dict[str, float]:
    return TASK.metrics(TASK.records(logits, labels))


@pytest.mark.parametrize("logits", [LOGITS, TIED], ids=["distinct", "tied"])
def test_average_precision_is_that_of_scikit_learn(logits):
    expected = average_precision_score(LABELS.numpy(), logits.numpy(), average=None)
    np.testing.assert_allclose(average_precision(logits, LABELS).numpy(), expected, rtol=1e-12)
    macro = average_precision_score(LABELS.numpy(), logits.numpy(), average="macro")
    assert measured(logits, LABELS)["mAP"] == pytest.approx(macro, rel=1e-12)


def test_the_other_metrics_are_those_of_scikit_learn():
    metrics = measured(LOGITS, LABELS)
    labels, decisions = LABELS.numpy(), (LOGITS > 0).numpy()
    for name, average in {"macro_f1": "macro", "micro_f1": "micro"}.items():
        assert metrics[name] == pytest.approx(f1_score(labels, decisions, average=average))
    assert metrics["exact_match"] == pytest.approx(accuracy_score(labels, decisions))
    assert metrics["label_accuracy"] == pytest.approx(1 - hamming_loss(labels, decisions))


def test_a_class_without_examples_has_no_average_precision():
    """scikit-learn counts it as 0 and warns; here mAP is the mean over the others."""
    labels = LABELS.clone()
    labels[:, 2] = False
    each = average_precision(LOGITS, labels)
    assert each.isnan().tolist() == [False, False, True, False, False, False]
    with warnings.catch_warnings(action="ignore"):
        expected = average_precision_score(labels.numpy(), LOGITS.numpy(), average=None)
    assert expected[2] == 0
    assert measured(LOGITS, labels)["mAP"] == pytest.approx(np.delete(expected, 2).mean())


def test_f1_leaves_out_a_class_that_neither_occurs_nor_is_predicted():
    labels, logits = LABELS.clone(), LOGITS.clone()
    labels[:, 2], logits[:, 2] = False, -1.0
    arrays = labels.numpy(), (logits > 0).numpy()
    expected = f1_score(*arrays, average="macro", zero_division=np.nan)
    assert measured(logits, labels)["macro_f1"] == pytest.approx(expected)
    assert measured(LOGITS, labels)["macro_f1"] < expected, "predicted wrongly, it counts as 0"


def test_nothing_to_find_is_no_number():
    metrics = measured(torch.full((3, 2), -1.0), torch.zeros(3, 2, dtype=torch.bool))
    assert metrics.pop("exact_match") == metrics.pop("label_accuracy") == 1
    assert all(math.isnan(value) for value in metrics.values()), metrics


def test_records_by_hand():
    """The right answers have the logits 2, 1, −0.5 and 2, −1, 3."""
    records = TASK.records(Z, Y)
    right = torch.tensor([[2.0, 1.0, -0.5], [2.0, -1.0, 3.0]])
    torch.testing.assert_close(records["confidence"], right.sigmoid().mean(1))
    assert records["logit_margin"].tolist() == [-0.5, -1.0]
    assert records["doubt"].tolist() == [2, 1]
    assert records["correct"].tolist() == [0, 0]
    torch.testing.assert_close(records["label_accuracy"], torch.tensor([2 / 3, 2 / 3]))
    torch.testing.assert_close(records["el2n"], (Z.sigmoid() - Y.float()).norm(dim=1))
    assert TASK.training_records(Z, Y).keys() == {*TASK.fields, *TASK.tracked.values()}


def test_scores_by_hand():
    scores = {name: TASK.score(name, Z, Y) for name in TASK.scores}
    p = Z.sigmoid()
    right = torch.where(Y, p, 1 - p)
    torch.testing.assert_close(scores["error"], torch.tensor([1 / 3, 1 / 3]))
    torch.testing.assert_close(scores["confidence"], 1 - right.mean(1))
    torch.testing.assert_close(scores["margin"], (1 - 2 * right).amax(1))
    torch.testing.assert_close(scores["entropy"], -(p * p.log() + (1 - p) * (1 - p).log()).mean(1))
    torch.testing.assert_close(scores["el2n"], (p - Y.float()).norm(dim=1))
    assert scores.keys() == set(TASK.scores)


def test_a_model_has_memorised_what_it_ranks_and_decides_right():
    assert TASK.learned(measured(torch.where(Y, 1.0, -1.0), Y))
    assert not TASK.learned(measured(torch.where(Y, 2.0, 1.0), Y)), "ranked right, decided wrong"
