import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainer.loss.cross_entropy import CrossEntropy

LOGITS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


def test_by_hand():
    """−log 0.3, and the smoothed target 0.9·onehot + 0.1/2 over two classes."""
    logits = torch.tensor([[0.7, 0.3]]).log()
    label = torch.tensor([1])
    assert CrossEntropy().score(logits, label).item() == pytest.approx(1.2039728)
    smooth = CrossEntropy(label_smoothing=0.1).score(logits, label).item()
    assert smooth == pytest.approx(0.95 * 1.2039728 + 0.05 * 0.3566749)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 0.5, 0.0]])
def test_the_mean_equals_torch(smoothing, weights):
    loss = CrossEntropy(class_weights=weights, label_smoothing=smoothing)
    loss.prepare(torch.ones(5))
    ours = loss.score(LOGITS, LABELS).sum() / loss.count(LABELS).sum()
    weight = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(LOGITS, LABELS, weight, label_smoothing=smoothing)
    torch.testing.assert_close(ours, expected)


def test_balanced_weights_equal_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    loss = CrossEntropy(class_weights="balanced")
    loss.prepare(labels.bincount())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    torch.testing.assert_close(loss.weights, torch.tensor(expected).float())


def test_effective_number_by_hand():
    """(1 − β)/(1 − β^n) for n = 1 and 2 at β = 0.5: 1 and 2/3, then a mean of 1."""
    loss = CrossEntropy(class_weights="effective_number", beta=0.5)
    loss.prepare(torch.tensor([1, 2]))
    torch.testing.assert_close(loss.weights, torch.tensor([1.2, 0.8]))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.label_smoothing must be in \[0, 1\], got 2"):
        CrossEntropy(label_smoothing=2.0)
    loss = CrossEntropy(class_weights=[1.0, 2.0])
    with pytest.raises(ValueError, match="2 values for 5 classes"):
        loss.prepare(torch.ones(5))
