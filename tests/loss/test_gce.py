import pytest
import torch
import torch.nn.functional as F

from trainer.loss.gce import Gce

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5
P = LOGITS.softmax(1).gather(1, LABELS[:, None])[:, 0]


def test_by_hand():
    """p_y = 0.3: 0.3^0.7 = 0.4305116, and with q = 0.5 (1 − √0.3) / 0.5."""
    logits = torch.tensor([[0.7, 0.3]]).log()
    label = torch.tensor([1])
    assert Gce().score(logits, label).item() == pytest.approx((1 - 0.4305116) / 0.7, rel=1e-6)
    assert Gce(q=0.5).score(logits, label).item() == pytest.approx(0.9045549)


def test_0_is_cross_entropy_and_1_is_the_absolute_error():
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.equal(Gce(q=0.0).score(LOGITS, LABELS), expected)
    torch.testing.assert_close(Gce(q=1.0).score(LOGITS, LABELS), 1 - P)
    absolute = (LOGITS.softmax(1) - F.one_hot(LABELS, 5)).abs().sum(1)
    torch.testing.assert_close(2 * Gce(q=1.0).score(LOGITS, LABELS), absolute)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_small_q_loses_no_digits(dtype):
    """1 − p^q computed by subtraction is 0 in float32 for q = 1e-9."""
    logits = LOGITS.to(dtype)
    expected = F.cross_entropy(logits, LABELS, reduction="none")
    torch.testing.assert_close(Gce(q=1e-9).score(logits, LABELS), expected)


def test_the_gradient_is_that_of_cross_entropy_times_p_to_the_q():
    """Not (1 − p)^q, which is focal's: wrong labels would count for more."""
    logits = LOGITS.clone().requires_grad_()
    (ours,) = torch.autograd.grad(Gce().score(logits, LABELS).sum(), logits)
    plain = LOGITS.softmax(1) - F.one_hot(LABELS, 5)
    torch.testing.assert_close(ours, P[:, None] ** 0.7 * plain)
    assert torch.autograd.gradcheck(lambda z: Gce().score(z, LABELS), logits)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.7, 1.0])
def test_extreme_logits_are_finite(q):
    """p_y underflows to 0, where the derivative of p^q is infinite."""
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = Gce(q=q).score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert q == 0 or (losses <= 1 / q).all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.q must be in \[0, 1\], got 1\.5"):
        Gce(q=1.5)
