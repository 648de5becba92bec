"""AUROC and average precision against scikit-learn, with ties."""

import math

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from trainer.task.shared.ranking import auroc, average_precision


@pytest.mark.parametrize("levels", [2, 7, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(levels: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels, (300,), generator=rng).double() / levels
    positive = torch.rand(300, generator=rng) < 0.2
    expected = roc_auc_score(positive, scores)
    assert auroc(scores, positive) == pytest.approx(expected, abs=1e-12)
    expected = average_precision_score(positive, scores)
    assert average_precision(scores, positive).item() == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    """Positives score 3 and 1, negatives 2 and 1: 3 is above both, 1 below one and ties one."""
    scores, positive = torch.tensor([3.0, 2, 1, 1]), torch.tensor([True, False, True, False])
    assert auroc(scores, positive) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert average_precision(scores, positive).item() == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 4)


@pytest.mark.parametrize("kind", [True, False])
def test_undefined_without_both_kinds(kind: bool) -> None:
    scores = torch.arange(3.0)
    assert math.isnan(auroc(scores, torch.full((3,), kind)))
    assert math.isnan(average_precision(scores, torch.zeros(3, dtype=torch.bool)))
