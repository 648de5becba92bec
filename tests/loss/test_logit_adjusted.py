import pytest
import torch
import torch.nn.functional as F

from trainer.loss.logit_adjusted import LogitAdjusted

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 3, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 3
COUNTS = torch.tensor([80, 15, 5])


def prepared(tau: float = 1.0) -> LogitAdjusted:
    loss = LogitAdjusted(tau=tau)
    loss.prepare(COUNTS)
    return loss


def test_by_hand():
    """With equal logits p is the prior, so the loss of the rarest class is −log 0.05."""
    value = prepared().score(torch.zeros(1, 3), torch.tensor([2])).item()
    assert value == pytest.approx(2.9957323)


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_against_the_pairwise_form(tau):
    """log(1 + Σ_k (π_k / π_y)^τ e^(z_k − z_y)), the paper's alternative form."""
    prior = COUNTS.double() / COUNTS.sum()
    expected = []
    for z, y in zip(LOGITS, LABELS, strict=True):
        others = [k for k in range(3) if k != y]
        odds = sum((prior[k] / prior[y]) ** tau * (z[k] - z[y]).exp() for k in others)
        expected.append(torch.log1p(odds))
    torch.testing.assert_close(
        prepared(tau).score(LOGITS, LABELS), torch.stack(expected), rtol=1e-6, atol=0
    )


def test_rarer_labels_have_higher_losses():
    losses = prepared().score(torch.zeros(3, 3), torch.arange(3))
    assert losses.tolist() == sorted(losses.tolist())


def test_eval_mode_is_plain_cross_entropy():
    loss = prepared().eval()
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.equal(loss.score(LOGITS, LABELS), expected)
    assert not torch.equal(loss.train().score(LOGITS, LABELS), expected)


def test_masks_are_scored_pixel_by_pixel():
    """[B, C, H, W] with labels [B, H, W]: the priors are added along the class dimension."""
    logits = LOGITS.view(1, 4, 3, 3).transpose(1, 2)
    labels = LABELS.view(1, 4, 3)
    logits = logits.contiguous()
    flat = logits.movedim(1, -1).reshape(-1, 3)
    expected = prepared().score(flat, labels.flatten())
    torch.testing.assert_close(prepared().score(logits, labels).flatten(), expected)


def test_an_absent_class_stays_finite():
    loss = LogitAdjusted()
    loss.prepare(torch.tensor([10, 0, 5]))
    logits = torch.zeros(3, 3, requires_grad=True)
    losses = loss.score(logits, torch.arange(3))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_gradient():
    logits = LOGITS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: prepared().score(z, LABELS), logits)


def test_extreme_logits_are_finite():
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = prepared().score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.tau must be in \[0, inf\), got -1"):
        LogitAdjusted(tau=-1.0)
