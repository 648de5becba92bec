"""Calibration error and Brier score, by hand and against torchmetrics."""

import pytest
import torch
from torchmetrics.classification import MulticlassCalibrationError

from trainer.task.classification import Classification
from trainer.task.shared.calibration import calibration_error


def test_calibration_error_by_hand() -> None:
    """0.91 and 0.93 share a bin, one correct: |1 − 1.84|; 0.5 is alone and correct: |1 − 0.5|."""
    confidence, correct = torch.tensor([0.91, 0.93, 0.5]), torch.tensor([1.0, 0.0, 1.0])
    assert calibration_error(confidence, correct, 10) == pytest.approx((0.84 + 0.5) / 3)


def random_outputs(scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(500, 4, generator=rng)
    return logits, torch.randint(0, 4, (500,), generator=rng)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_metrics_against_torchmetrics(scale: float) -> None:
    """ECE takes the confidence of the predicted class; Brier sums over the classes."""
    logits, labels = random_outputs(scale)
    task = Classification()
    metrics = task.metrics(task.records(logits, labels))
    p = logits.softmax(1)
    reference = MulticlassCalibrationError(4, n_bins=15, norm="l1")(p, labels)
    assert metrics["ece"] == pytest.approx(reference.item(), abs=1e-6)
    onehot = torch.nn.functional.one_hot(labels, 4)
    assert metrics["brier"] == pytest.approx((p - onehot).square().sum(1).mean().item(), rel=1e-5)


def test_full_confidence_is_in_the_last_bin() -> None:
    """torchmetrics puts exactly 1 into an additional bin, where errors do not cancel."""
    confidence, correct = torch.tensor([1.0, 0.95]), torch.tensor([0.0, 1.0])
    assert calibration_error(confidence, correct) == pytest.approx(0.95 / 2)
    p = torch.stack([confidence, 1 - confidence], 1)
    reference = MulticlassCalibrationError(2, n_bins=15)(p, torch.tensor([1, 0]))
    assert reference.item() == pytest.approx((1 + 0.05) / 2)
