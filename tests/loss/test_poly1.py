import pytest
import torch
import torch.nn.functional as F

from trainer.loss.poly1 import Poly1

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5


def test_by_hand():
    """p_y = 0.3: −log 0.3 + 2 · 0.7."""
    logits = torch.tensor([[0.7, 0.3]]).log()
    value = Poly1(epsilon=2.0).score(logits, torch.tensor([1])).item()
    assert value == pytest.approx(1.2039728 + 1.4)


@pytest.mark.parametrize("epsilon", [-1.0, 0.0, 1.0])
def test_against_the_polynomial(epsilon):
    """Σ_j (1 − p_y)^j / j with ε added to the first factor, for p_y where 4000 terms are enough."""
    logits = LOGITS / 2
    wrong = 1 - logits.softmax(1).gather(1, LABELS[:, None])[:, 0]
    terms = sum(wrong**j / j for j in range(1, 4001))
    torch.testing.assert_close(
        Poly1(epsilon=epsilon).score(logits, LABELS), terms + epsilon * wrong
    )


def test_gradient():
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: Poly1().score(z, LABELS), logits)


def test_without_epsilon_it_is_cross_entropy():
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(Poly1(epsilon=0.0).score(LOGITS, LABELS), expected)


def test_extreme_logits_are_finite():
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = Poly1().score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.epsilon must be in \[-1, inf\), got -1.5"):
        Poly1(epsilon=-1.5)
