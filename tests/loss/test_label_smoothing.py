import pytest
import torch
import torch.nn.functional as F

from trainer.core.batch import Batch
from trainer.loss import contract
from trainer.loss.label_smoothing import LabelSmoothing

LOGITS = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


def test_by_hand():
    """p = 0.7, 0.2, 0.1 and the target 0.0333, 0.9333, 0.0333."""
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log()
    value = LabelSmoothing().score(logits, torch.tensor([1])).item()
    assert value == pytest.approx(0.9333333 * 1.6094379 + 0.0333333 * (0.3566749 + 2.3025851))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_equals_torch(smoothing):
    ours = LabelSmoothing(label_smoothing=smoothing).score(LOGITS, LABELS)
    expected = F.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(ours, expected)


def test_the_smoothed_target_sums_to_1():
    """The gradient is p − target. A target of 0.9 and four times 0.1 would sum to 1.3."""
    logits = LOGITS.clone().requires_grad_()
    LabelSmoothing().score(logits, LABELS).sum().backward()
    target = LOGITS.softmax(1) - logits.grad
    torch.testing.assert_close(target.sum(1), torch.ones(12))
    torch.testing.assert_close(target, 0.9 * F.one_hot(LABELS, 5) + 0.02)


def test_extreme_logits_are_finite():
    logits = (LOGITS.sign() * 1e4).requires_grad_()
    losses = LabelSmoothing().score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.label_smoothing must be in \[0, 1\], got 2"):
        LabelSmoothing(label_smoothing=2.0)


def test_equals_timm():
    timm_loss = pytest.importorskip("timm.loss")
    expected = timm_loss.LabelSmoothingCrossEntropy(smoothing=0.1)(LOGITS, LABELS)
    torch.testing.assert_close(LabelSmoothing().score(LOGITS, LABELS).mean(), expected)


def test_mixed_labels_give_timms_loss_of_the_mixed_target():
    """The share-weighted sum of two smoothed labels equals the smoothed mixed target."""
    timm_loss = pytest.importorskip("timm.loss")
    labels = torch.stack([LABELS, LABELS.roll(1)], 1)
    shares = torch.tensor([[0.7, 0.3]]).expand(12, 2)
    ones = torch.ones(12)
    batch = Batch(torch.zeros(12, 1, 1, 1), labels, shares, labels, ones, ones)
    loss = LabelSmoothing()
    ours = contract(lambda labels: loss.score(LOGITS, labels), batch)
    target = 0.7 * F.one_hot(LABELS, 5) + 0.3 * F.one_hot(LABELS, 5).roll(1, 0)
    expected = timm_loss.SoftTargetCrossEntropy()(LOGITS, 0.9 * target + 0.02)
    torch.testing.assert_close(ours.mean(), expected)
