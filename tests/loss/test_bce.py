import pytest
import torch
import torch.nn.functional as F

from trainer.core.batch import Batch
from trainer.loss import contract
from trainer.loss.bce import BinaryCrossEntropy, wrong_logits

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5
ONE_HOT = F.one_hot(LABELS, 5).double()


def test_by_hand():
    """σ = 0.8 and 0.4 with the label 0: −(log 0.8 + log 0.6) / 2; then positives count twice."""
    logits = torch.tensor([[0.8, 0.4]]).logit()
    label = torch.tensor([0])
    assert BinaryCrossEntropy().score(logits, label).item() == pytest.approx(0.3669846)
    twice = BinaryCrossEntropy(pos_weight=2.0).score(logits, label).item()
    assert twice == pytest.approx(0.3669846 + 0.2231436 / 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [1.0, 3.0, [1.0, 2.0, 3.0, 0.5, 4.0]])
def test_equals_torch_averaged_over_the_classes(smoothing, weight):
    loss = BinaryCrossEntropy(label_smoothing=smoothing, pos_weight=weight)
    loss.prepare(torch.ones(5))
    expected = F.binary_cross_entropy_with_logits(
        LOGITS,
        (1 - smoothing) * ONE_HOT + smoothing / 5,
        pos_weight=torch.tensor(weight, dtype=torch.float64),
        reduction="none",
    )
    torch.testing.assert_close(loss.score(LOGITS, LABELS), expected.mean(1))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_timm(smoothing):
    timm_loss = pytest.importorskip("timm.loss")
    expected = timm_loss.BinaryCrossEntropy(smoothing=smoothing)(LOGITS, LABELS)
    ours = BinaryCrossEntropy(label_smoothing=smoothing).score(LOGITS, LABELS).mean()
    torch.testing.assert_close(ours, expected)


def test_mixed_labels_give_the_loss_of_the_mixed_target():
    """The loss is linear in the target, so 0.7 and 0.3 of two labels equal the mixed target."""
    labels = torch.stack([LABELS, LABELS.roll(1)], 1)
    shares = torch.tensor([[0.7, 0.3]], dtype=torch.float64).expand(12, 2)
    ones = torch.ones(12)
    batch = Batch(torch.zeros(12, 1, 1, 1), labels, shares, labels, ones, ones)
    loss = BinaryCrossEntropy(pos_weight=2.0)
    ours = contract(lambda labels: loss.score(LOGITS, labels), batch)
    target = 0.7 * ONE_HOT + 0.3 * ONE_HOT.roll(1, 0)
    weight = torch.tensor(2.0)
    expected = F.binary_cross_entropy_with_logits(
        LOGITS, target, pos_weight=weight, reduction="none"
    )
    torch.testing.assert_close(ours, expected.mean(1))


def test_wrong_logits_give_the_size_of_the_gradient():
    sigma = wrong_logits(LOGITS, LABELS).sigmoid()
    torch.testing.assert_close(sigma, (LOGITS.sigmoid() - ONE_HOT).abs())


def test_masks_are_scored_pixel_by_pixel():
    logits = LOGITS.reshape(1, 3, 4, 5).movedim(-1, 1)
    labels = LABELS.view(1, 3, 4)
    loss = BinaryCrossEntropy(label_smoothing=0.1, pos_weight=[1.0, 2.0, 3.0, 0.5, 4.0])
    expected = loss.score(LOGITS, LABELS)
    torch.testing.assert_close(loss.score(logits, labels).flatten(), expected)


def test_gradient():
    loss = BinaryCrossEntropy(label_smoothing=0.1, pos_weight=[1.0, 2.0, 3.0, 0.5, 4.0])
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss.score(z, LABELS), logits)


def test_extreme_logits_are_finite():
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = BinaryCrossEntropy(label_smoothing=0.1, pos_weight=3.0).score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.pos_weight must be in \(0, inf\), got 0"):
        BinaryCrossEntropy(pos_weight=0.0)
    loss = BinaryCrossEntropy(pos_weight=[1.0])
    with pytest.raises(ValueError, match=r"loss\.pos_weight has 1 value for 5 classes"):
        loss.prepare(torch.ones(5))
