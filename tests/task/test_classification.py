import math

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
)

from trainer.task.classification import Classification

TASK = Classification()
RNG = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(200, 5, generator=RNG)
LABELS = torch.randint(0, 4, (200,), generator=RNG)  # no example is of class 4

P = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2]])
Y = torch.tensor([0, 2])


def test_scores_by_hand():
    """p_y is 0.7 and 0.2; the largest other probability is 0.2 and 0.5."""
    scores = {name: TASK.score(name, P.log(), Y) for name in TASK.scores}
    assert scores.keys() == {"error", "confidence", "margin", "entropy", "el2n"}
    assert scores["error"].tolist() == [0, 1]
    torch.testing.assert_close(scores["confidence"], torch.tensor([0.3, 0.8]))
    torch.testing.assert_close(scores["margin"], torch.tensor([-0.5, 0.3]))
    entropy = -0.7 * math.log(0.7) - 0.2 * math.log(0.2) - 0.1 * math.log(0.1)
    assert scores["entropy"][0].item() == pytest.approx(entropy)
    el2n = torch.tensor([0.09 + 0.04 + 0.01, 0.25 + 0.09 + 0.64]).sqrt()
    torch.testing.assert_close(scores["el2n"], el2n)


def test_records_by_hand():
    records = TASK.records(P.log(), Y)
    assert records["correct"].tolist() == [1, 0]
    assert records["prediction"].tolist() == [0, 0]
    torch.testing.assert_close(records["nll"], -torch.tensor([0.7, 0.2]).log())
    torch.testing.assert_close(records["margin"], torch.tensor([0.5, -0.3]))
    torch.testing.assert_close(records["logit_margin"], torch.tensor([3.5, 0.4]).log())


def test_metrics_by_hand():
    """The two classes that occur have recall 2/3 and 0."""
    logits = torch.tensor([[2.0, 0, 0], [2, 0, 0], [0, 0, 2], [2, 0, 0]])
    metrics = TASK.metrics(TASK.records(logits, torch.tensor([0, 0, 0, 1])))
    assert metrics["accuracy"] == 0.5
    assert metrics["balanced_accuracy"] == pytest.approx(1 / 3)


def test_metrics_against_torchmetrics():
    metrics = TASK.metrics(TASK.records(LOGITS, LABELS))
    p = LOGITS.softmax(1)
    assert metrics["accuracy"] == pytest.approx((p.argmax(1) == LABELS).float().mean().item())
    recalls = multiclass_accuracy(p, LABELS, num_classes=5, average="none")[:4]
    assert metrics["balanced_accuracy"] == pytest.approx(recalls.mean().item())
    error = multiclass_calibration_error(p, LABELS, num_classes=5, n_bins=15)
    assert metrics["ece"] == pytest.approx(error.item(), abs=1e-6)
    assert metrics["nll"] == pytest.approx(F.cross_entropy(LOGITS, LABELS).item())
    brier = (p - F.one_hot(LABELS, 5)).square().sum(1).mean().item()
    assert metrics["brier"] == pytest.approx(brier)


def test_nan_outputs_give_a_nan_calibration_error():
    """NaN has no bin; it once raised an IndexError instead of ending the run with exit code 4."""
    metrics = TASK.metrics(TASK.records(LOGITS.index_fill(0, torch.tensor(3), math.nan), LABELS))
    assert math.isnan(metrics["ece"])
    assert math.isnan(metrics["nll"])
    assert 0 < metrics["accuracy"] < 1


@pytest.mark.parametrize(("accuracy", "learned"), [(1.0, True), (0.99, True), (0.98, False)])
def test_learned_needs_an_accuracy_of_99_percent(accuracy, learned):
    assert TASK.learned({"accuracy": accuracy}) is learned
