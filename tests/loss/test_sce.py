import math

import pytest
import torch
import torch.nn.functional as F

from trainer.loss.sce import Sce

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5


def test_by_hand():
    """p_y = 0.3: 0.1 · −log 0.3 + 1 · 4 · 0.7."""
    logits = torch.tensor([[0.7, 0.3]]).log()
    value = Sce().score(logits, torch.tensor([1])).item()
    assert value == pytest.approx(0.12039728 + 2.8)


@pytest.mark.parametrize(("alpha", "beta", "log_zero"), [(0.1, 1.0, -4.0), (6.0, 0.1, -2.5)])
def test_against_both_sums(alpha, beta, log_zero):
    """−Σ q log p and −Σ p log q over all classes, with A in place of log 0."""
    p, q = LOGITS.softmax(1), F.one_hot(LABELS, 5).double()
    log_q = torch.where(q == 0, log_zero, 0.0)
    expected = -alpha * (q * p.log()).sum(1) - beta * (p * log_q).sum(1)
    score = Sce(alpha=alpha, beta=beta, log_zero=log_zero).score(LOGITS, LABELS)
    torch.testing.assert_close(score, expected)


def test_a_label_clamped_at_1e_4_is_another_loss():
    """As in much code: it has A = log 10⁻⁴ = −9.2, not the paper's −4."""
    p = LOGITS.softmax(1)
    log_q = F.one_hot(LABELS, 5).double().clamp(min=1e-4).log()
    clamped = -0.1 * (p.log().gather(1, LABELS[:, None])[:, 0]) - (p * log_q).sum(1)
    torch.testing.assert_close(Sce(log_zero=math.log(1e-4)).score(LOGITS, LABELS), clamped)
    assert (Sce().score(LOGITS, LABELS) < clamped - 1).all()


def test_gradient():
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: Sce().score(z, LABELS), logits)


def test_extreme_logits_are_finite():
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = Sce().score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.alpha=0 and loss\.beta=0 leave no loss"):
        Sce(alpha=0, beta=0)
    with pytest.raises(ValueError, match=r"loss\.log_zero must be in \(-inf, 0\), got 4"):
        Sce(log_zero=4.0)
    with pytest.raises(ValueError, match=r"loss\.alpha must be in \[0, inf\), got -1"):
        Sce(alpha=-1.0)
