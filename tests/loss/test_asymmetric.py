"""The asymmetric loss against its formula in float64, the focal loss and binary cross entropy."""

import math

import pytest
import torch
import torch.nn.functional as F

from trainer.loss.asymmetric import Asymmetric
from trainer.loss.bce import BinaryCrossEntropy
from trainer.loss.focal import Focal

RNG = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(40, 6, generator=RNG, dtype=torch.float64)
LABELS = torch.rand(40, 6, generator=RNG) < 0.3


def reference(z: float, y: bool, gamma_pos: float, gamma_neg: float, m: float) -> float:
    """Eq. 7 with eq. 5, written with probabilities, for one class."""
    p = 1 / (1 + math.exp(-z))
    if y:
        return -((1 - p) ** gamma_pos) * math.log(p)
    shifted = max(p - m, 0.0)
    return -(shifted**gamma_neg) * math.log(1 - shifted)


@pytest.mark.parametrize("gammas", [(0, 4), (1, 4), (0, 0), (2, 0.5), (1, 1)])
@pytest.mark.parametrize("clip", [0.0, 0.05, 0.2])
def test_it_is_the_formula(gammas, clip):
    gamma_pos, gamma_neg = gammas
    loss = Asymmetric(gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    pairs = zip(LOGITS.tolist(), LABELS.tolist(), strict=True)
    expected = [
        sum(reference(z, y, gamma_pos, gamma_neg, clip) for z, y in zip(*row, strict=True)) / 6
        for row in pairs
    ]
    torch.testing.assert_close(loss.score(LOGITS, LABELS), torch.tensor(expected).double())


def test_by_hand():
    """p = 0.8, 0.5 and 0.04; a label, then two absent classes, one of them within the margin."""
    logits = torch.tensor([[0.8, 0.5, 0.04]]).logit()
    labels = torch.tensor([[True, False, False]])
    expected = (-math.log(0.8) - 0.45**4 * math.log(0.55)) / 3
    assert Asymmetric().score(logits, labels).item() == pytest.approx(expected)


def test_without_asymmetry_it_is_the_focal_loss_and_binary_cross_entropy():
    same = Asymmetric(gamma_neg=2, gamma_pos=2, clip=0).score(LOGITS, LABELS)
    focal = Focal(form="sigmoid", gamma=2, alpha=None).score(LOGITS, LABELS)
    torch.testing.assert_close(same, focal)
    plain = Asymmetric(gamma_neg=0, gamma_pos=0, clip=0).score(LOGITS, LABELS)
    torch.testing.assert_close(plain, BinaryCrossEntropy().score(LOGITS, LABELS))
    expected = F.binary_cross_entropy_with_logits(LOGITS, LABELS.double(), reduction="none")
    torch.testing.assert_close(plain, expected.mean(1))


@pytest.mark.parametrize("gamma_neg", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_the_gradient_is_finite_where_the_sigmoid_saturates(gamma_neg, clip):
    logits = torch.tensor([[-200.0, -20.0, 0.0, 20.0, 200.0]] * 2, requires_grad=True)
    labels = torch.tensor([[True] * 5, [False] * 5])
    losses = Asymmetric(gamma_neg=gamma_neg, gamma_pos=0.5, clip=clip).score(logits, labels)
    losses.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert losses.isfinite().all()


def test_gradients_are_the_numeric_ones():
    logits = LOGITS[:4].clone().requires_grad_()
    loss = Asymmetric(gamma_pos=1.0)
    assert torch.autograd.gradcheck(lambda z: loss.score(z, LABELS[:4]), logits)


@pytest.mark.parametrize("bad", [{"gamma_neg": -1.0}, {"gamma_pos": -1.0}, {"clip": 1.0}])
def test_settings_are_checked(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=rf"loss\.{name}"):
        Asymmetric(**bad)
