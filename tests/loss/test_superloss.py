import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import lambertw
from support import make_run

from trainer.core.batch import Batch
from trainer.core.duration import Clock
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.loss.superloss import SuperLoss, lambert_w

RNG = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5
ONES = torch.ones(12)
BATCH = Batch(torch.zeros(12, 1, 1, 1), LABELS[:, None], ONES[:, None], LABELS[:, None], ONES, ONES)
TAU = math.log(5)


def values_of(losses: torch.Tensor, lam: float = 1.0) -> torch.Tensor:
    """The SuperLoss of losses [B] with τ = log 5."""
    return SuperLoss(lam=lam).reweigh(losses, torch.zeros(len(losses), 5), BATCH)


def scipys(losses: np.ndarray, lam: float) -> tuple[np.ndarray, np.ndarray]:
    """σ and SuperLoss with scipy's W, evaluated slightly above the branch point."""
    beta = np.maximum((losses - TAU) / lam, -2 / math.e + 1e-15)
    sigma = np.exp(-lambertw(beta / 2).real)
    return sigma, (losses - TAU) * sigma + lam * np.log(sigma) ** 2


def test_by_hand():
    """ℓ = τ gives σ = 1; ℓ = τ + 2eλ gives W(e) = 1 and σ = 1/e; ℓ = τ − 10 gives σ = e."""
    values = values_of(torch.tensor([TAU, TAU + 2 * math.e, TAU - 10]))
    assert values.tolist() == pytest.approx([0.0, 2 + 1, -10 * math.e + 1], abs=1e-6)
    double = values_of(torch.tensor([TAU + 4 * math.e]), lam=2.0)
    assert double.item() == pytest.approx(4 + 2, abs=1e-6)


@pytest.mark.parametrize("lam", [0.25, 1.0, 10.0])
def test_against_scipy(lam):
    losses = torch.linspace(0, 40, 2001, dtype=torch.float64)
    sigma, expected = scipys(losses.numpy(), lam)
    torch.testing.assert_close(values_of(losses, lam).numpy(), expected, rtol=1e-7, atol=1e-7)
    leaf = losses.clone().requires_grad_()
    values_of(leaf, lam).sum().backward()
    torch.testing.assert_close(leaf.grad.numpy(), sigma, rtol=1e-6, atol=0)


@pytest.mark.parametrize("lam", [0.25, 1.0])
def test_sigma_minimizes_the_loss(lam):
    """No other σ in (0, e] gives a lower value."""
    losses = torch.linspace(0, 10, 21, dtype=torch.float64)
    sigma = torch.linspace(1e-4, math.e, 20_001, dtype=torch.float64)[:, None]
    lowest = ((losses - TAU) * sigma + lam * sigma.log() ** 2).amin(0)
    torch.testing.assert_close(values_of(losses, lam), lowest, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_lambert_w_equals_scipy(dtype):
    """From the branch point to 1e30; near it the rounding of 1 + e·z limits the accuracy."""
    near = -1 / math.e + torch.logspace(-16, 0, 2001, dtype=torch.float64)
    far = torch.logspace(-20, 30, 2001, dtype=torch.float64)
    z = torch.cat([torch.tensor([-1 / math.e, 0.0]), near, -0.3 * far[far < 1], far]).to(dtype)
    exact = z.double().numpy().clip(min=-1 / math.e)  # −1/e in float32 is below −1/e
    expected = np.nan_to_num(lambertw(exact).real, nan=-1.0)  # scipy's answer at −1/e itself
    error = np.abs(lambert_w(z).double().numpy() - expected)
    eps = torch.finfo(dtype).eps
    root = np.sqrt(np.maximum(1 + math.e * exact, eps))
    assert (error <= 4 * eps * (1 / root + np.abs(expected) + 1)).all()


def test_lambert_w_at_known_points():
    z = torch.tensor([-1 / math.e, -0.5, 0.0, math.e, 2 * math.e**2, -math.log(2) / 2])
    expected = torch.tensor([-1.0, -1.0, 0.0, 1.0, 2.0, -math.log(2)])
    torch.testing.assert_close(lambert_w(z.double()), expected.double(), rtol=0, atol=1e-6)


def test_no_gradient_through_sigma():
    """The slope is σ, a constant; a gradient through W would be NaN for losses below τ − 2λ/e."""
    losses = torch.tensor([0.0, 0.5, TAU - 2 / math.e, TAU, 3.0, 8.0], requires_grad=True)
    (slope,) = torch.autograd.grad(values_of(losses).sum(), losses, create_graph=True)
    assert slope.tolist() == pytest.approx(scipys(losses.detach().numpy(), 1.0)[0], rel=1e-3)
    assert slope[0].item() == pytest.approx(math.e)
    assert not slope.requires_grad


def test_gradient():
    loss = SuperLoss()
    logits = LOGITS.clone().requires_grad_()

    def values(z: torch.Tensor) -> torch.Tensor:
        return loss.reweigh(loss.score(z, LABELS), z, BATCH)

    assert torch.autograd.gradcheck(values, logits)


def test_score_is_cross_entropy():
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.equal(SuperLoss().score(LOGITS, LABELS), expected)


def test_harder_examples_have_lower_weights():
    losses = torch.linspace(0, 9, 10, requires_grad=True)
    values_of(losses).sum().backward()
    assert losses.grad.tolist() == sorted(losses.grad.tolist(), reverse=True)


def test_the_running_mean():
    """2, then 0.9·2 + 0.1·4: the running mean starts at the first mean, not at 0."""
    loss = SuperLoss(tau="mean")
    loss.survey(torch.full((12,), 2.0), LOGITS, BATCH)
    assert loss.mean.item() == pytest.approx(2.0)
    assert loss.reweigh(torch.tensor([2.0]), LOGITS[:1], BATCH).item() == pytest.approx(0.0)
    loss.survey(torch.full((12,), 4.0), LOGITS, BATCH)
    assert loss.mean.item() == pytest.approx(2.2)


def test_the_mean_is_weighted_over_the_rows_that_count():
    """Dropped and added rows do not enter the mean; a row with weight 2 counts twice."""
    losses = torch.tensor([1.0, 3.0, 100.0, 50.0] * 3)
    weight = torch.tensor([1.0, 2.0, 0.0, 0.5] * 3)
    count = torch.tensor([1.0, 1.0, 0.0, 0.0] * 3)
    loss = SuperLoss(tau="mean")
    loss.survey(losses, LOGITS, replace(BATCH, weight=weight, count=count))
    assert loss.mean.item() == pytest.approx((1 + 2 * 3) / 3)
    loss.survey(losses, LOGITS, replace(BATCH, weight=0 * weight, count=0 * count))
    assert loss.mean.item() == pytest.approx((1 + 2 * 3) / 3)


def test_masks_are_scored_pixel_by_pixel():
    losses = torch.linspace(0, 5, 24).view(2, 3, 4)
    batch = BATCH.select(slice(0, 2))
    loss = SuperLoss(tau="mean")
    loss.survey(losses, torch.zeros(2, 5, 3, 4), batch)
    assert loss.mean.item() == pytest.approx(2.5)
    assert loss.reweigh(losses, torch.zeros(2, 5, 3, 4), batch).shape == losses.shape


@pytest.mark.parametrize("lam", [0.01, 1.0])
def test_extreme_logits_are_finite(lam):
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    loss = SuperLoss(lam=lam)
    losses = loss.reweigh(loss.score(logits, LABELS), logits, BATCH)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def three_steps(folder, accumulate: int, mixer: str) -> tuple[list[torch.Tensor], float, int]:
    """Weights, running mean and images forwarded after three batches of 20 digits."""
    overrides = ["loss=superloss", "loss.tau=mean", "optimizer=sgd", "model=mlp", "device=cpu"]
    overrides += [f"mixer={mixer}", f"accumulate={accumulate}"]
    run = make_run(folder, *overrides)
    step = run.assemble_step(Clock(3, 3)).step
    feed = run.loader.open(run.data.train, run.device)
    for i, batch in enumerate(feed.batches(Plan.of(run.data.train.ids[:60], 20))):
        step(batch, StepId(0, 0, i), 20 * i)
    mean = run.loss.get_buffer("mean").item()
    return [p.detach() for p in run.model.parameters()], mean, step.cost.forward


@pytest.mark.parametrize("mixer", ["none", "mixup"])
def test_accumulation_equals_the_large_batch(tmp_path, mixer):
    """20 rows form chunks of 7, 7 and 6; a mean updated by each chunk would differ."""
    weights, mean, _ = three_steps(tmp_path, 1, mixer)
    parts, mean_of_parts, forward = three_steps(tmp_path, 3, mixer)
    torch.testing.assert_close(parts, weights)
    assert mean_of_parts == pytest.approx(mean, rel=1e-6)
    assert forward == 120, "a scoring pass before each step"


def test_log_c_needs_no_scoring_pass():
    assert not SuperLoss(tau="log_c").batchwise
    assert SuperLoss(tau="mean").batchwise


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_skipped_step_leaves_the_mean(tmp_path, accumulate):
    overrides = ["loss=superloss", "loss.tau=mean", "model=mlp", "nonfinite=skip", "device=cpu"]
    run = make_run(tmp_path, *overrides, f"accumulate={accumulate}")
    step = run.assemble_step(Clock(3, 3)).step
    feed = run.loader.open(run.data.train, run.device)
    first, second = feed.batches(Plan.of(run.data.train.ids[:40], 20))
    step(first, StepId(0, 0, 0), 0)
    before = run.loss.get_buffer("mean").item()
    step(second.with_images(second.images.float() * torch.nan), StepId(0, 0, 1), 20)
    assert run.loss.get_buffer("mean").item() == before


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.lam must be in \(0, inf\), got 0"):
        SuperLoss(lam=0.0)
    with pytest.raises(ValueError, match=r"loss\.momentum must be in \[0, 1\), got 1"):
        SuperLoss(momentum=1.0)
