from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support import make_run

from trainer.core.batch import Batch
from trainer.core.duration import Clock
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.loss.ghm import Ghm

RNG = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(3, 16, 5, generator=RNG)  # three batches
LABELS = torch.arange(16) % 5


def batch_of(labels: torch.Tensor, shares: torch.Tensor | None = None) -> Batch:
    """A batch with labels [B] or [B, K]."""
    labels = labels.view(len(labels), -1)
    ones = torch.ones(len(labels))
    shares = torch.ones_like(labels, dtype=torch.float32) if shares is None else shares
    return Batch(torch.zeros(len(labels), 1, 1, 1), labels, shares, labels, ones, ones)


def losses_of(loss: Ghm, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The reweighted losses of a batch after a survey of the whole batch."""
    loss.survey(torch.empty(0), logits.detach(), batch)
    return loss.reweigh(torch.empty(0), logits, batch)


def slow(logits: torch.Tensor, bins: int, counts: list[float], momentum: float = 0.0) -> float:
    """The authors' loop over the bins; `counts` are the running counts, None where still empty."""
    one_hot = F.one_hot(LABELS, 5).float()
    g = (logits.sigmoid() - one_hot).abs()
    weights, number = torch.zeros_like(g), 0
    for i in range(bins):
        inside = (g >= i / bins) & ((g < (i + 1) / bins) | (i == bins - 1))
        count = inside.sum().item()
        if count:
            started = counts[i] is not None
            counts[i] = momentum * counts[i] + (1 - momentum) * count if started else count
            weights[inside] = g.numel() / counts[i]
            number += 1
    return F.binary_cross_entropy_with_logits(logits, one_hot, weights / number).item()


def test_by_hand():
    """g = 0.05, 0.05 and 0.05, 0.55: three elements in a bin, one in another, weights 2/3 and 2."""
    logits = torch.tensor([[0.95, 0.05], [0.95, 0.55]]).logit()
    loss = Ghm()
    losses = losses_of(loss, logits, batch_of(torch.tensor([0, 0])))
    easy, hard = 0.0512933, 0.7985077
    assert losses.tolist() == pytest.approx([2 / 3 * easy, (2 / 3 * easy + 2 * hard) / 2])
    plain = loss.score(logits, torch.tensor([0, 0])).tolist()
    assert plain == pytest.approx([easy, (easy + hard) / 2])


@pytest.mark.parametrize("bins", [1, 10, 30])
@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_against_the_authors_loop(bins, momentum):
    """Three batches; the running counts start at the first count instead of at 0."""
    loss, counts = Ghm(bins=bins, momentum=momentum), [None] * bins
    for logits in LOGITS:
        mean = losses_of(loss, logits, batch_of(LABELS)).mean().item()
        assert mean == pytest.approx(slow(logits, bins, counts, momentum), rel=1e-5)


def test_momentum_does_not_affect_the_first_batch():
    """Counts that start at 0 would make each weight 1 / (1 − 0.75) = 4 times too large."""
    smooth, plain = Ghm(momentum=0.75), Ghm()
    batch = batch_of(LABELS)
    torch.testing.assert_close(
        losses_of(smooth, LOGITS[0], batch), losses_of(plain, LOGITS[0], batch)
    )


def test_a_bin_filled_later_starts_at_its_first_count():
    loss, batch = Ghm(momentum=0.75), batch_of(torch.tensor([0, 0]))
    losses_of(loss, torch.full((2, 1), 9.0), batch)  # both in the first bin
    losses_of(loss, torch.tensor([[9.0], [-9.0]]), batch)  # one in the last
    assert loss.density[0].item() == pytest.approx(0.75 * 1 + 0.25 * 0.5)
    assert loss.density[-1].item() == 0.5
    assert loss.weights[-1].item() == 1 / 0.5 / 2


def test_the_mean_weight_is_1():
    loss, batch = Ghm(), batch_of(LABELS)
    losses_of(loss, LOGITS[0], batch)
    one_hot = F.one_hot(LABELS, 5).float()
    g = (LOGITS[0].sigmoid() - one_hot).abs()
    assert loss.weights[(g * 10).long()].mean().item() == pytest.approx(1.0)


def test_no_gradient_through_the_weights():
    logits = LOGITS[0].clone().requires_grad_()
    loss = Ghm()
    losses_of(loss, logits, batch_of(LABELS)).sum().backward()
    one_hot = F.one_hot(LABELS, 5).float()
    difference = LOGITS[0].sigmoid() - one_hot
    weights = loss.weights[(difference.abs() * 10).long()]
    torch.testing.assert_close(logits.grad, weights * difference / 5)


def test_gradient_of_fixed_weights():
    loss, batch = Ghm(), batch_of(LABELS)
    logits = LOGITS[0].double().requires_grad_()
    loss.survey(torch.empty(0), logits.detach(), batch)
    assert torch.autograd.gradcheck(lambda z: loss.reweigh(torch.empty(0), z, batch), logits)
    assert torch.autograd.gradcheck(lambda z: loss.score(z, LABELS), logits)


def test_a_mixed_image_counts_as_its_labels_by_share():
    """Equal to 2B rows with hard labels, each weighted by its share."""
    labels = torch.stack([LABELS, LABELS.roll(1)], 1)
    share = torch.rand(16, generator=torch.Generator().manual_seed(1))
    shares = torch.stack([share, 1 - share], 1)
    mixed, apart = Ghm(), Ghm()
    losses = losses_of(mixed, LOGITS[0], batch_of(labels, shares))
    rows = replace(batch_of(labels.T.flatten()), weight=shares.T.flatten())
    parts = losses_of(apart, LOGITS[0].repeat(2, 1), rows)
    torch.testing.assert_close(mixed.density, apart.density)
    torch.testing.assert_close(losses, (parts * rows.weight).view(2, 16).sum(0))


def test_rows_count_by_weight():
    """Weight 0 does not count, weight 2 counts twice, added rows (count 0) count by weight."""
    weight = torch.tensor([0.0, 2.0, 1.0, 0.5] * 4)
    count = torch.tensor([0.0, 1.0, 1.0, 0.0] * 4)
    loss, repeated = Ghm(), Ghm()
    losses_of(loss, LOGITS[0], replace(batch_of(LABELS), weight=weight, count=count))
    often = (2 * weight).long()
    losses_of(
        repeated, LOGITS[0].repeat_interleave(often, 0), batch_of(LABELS.repeat_interleave(often))
    )
    torch.testing.assert_close(loss.weights, repeated.weights)


def test_a_batch_that_does_not_count_changes_nothing():
    loss, batch = Ghm(momentum=0.5), batch_of(LABELS)
    losses_of(loss, LOGITS[0], batch)
    before = loss.density.clone(), loss.weights.clone()
    losses_of(loss, LOGITS[1], replace(batch, weight=torch.zeros(16), count=torch.zeros(16)))
    assert torch.equal(loss.density, before[0])
    assert torch.equal(loss.weights, before[1])


def test_a_bin_empty_in_the_survey_has_the_largest_weight():
    """A training pass, with dropout, may fill a bin that the scoring pass left empty."""
    loss, batch = Ghm(), batch_of(torch.tensor([0, 0, 0]))
    losses_of(loss, torch.tensor([[9.0], [9.0], [-9.0]]), batch)
    values = loss.reweigh(torch.empty(0), torch.zeros(3, 1), batch)
    assert values.tolist() == pytest.approx([3 / 1 / 2 * 0.6931472] * 3)


def test_masks_are_scored_pixel_by_pixel():
    logits = LOGITS[0].reshape(2, 2, 4, 5).movedim(-1, 1)
    labels = LABELS.view(2, 1, 2, 4)
    ones = torch.ones(2)
    batch = Batch(torch.zeros(2, 1, 2, 4), labels, ones[:, None], labels, ones, ones)
    loss, flat = Ghm(), Ghm()
    expected = losses_of(flat, LOGITS[0], batch_of(LABELS))
    torch.testing.assert_close(losses_of(loss, logits, batch).flatten(), expected)
    torch.testing.assert_close(
        loss.score(logits, labels[:, 0]).flatten(), flat.score(LOGITS[0], LABELS)
    )


def test_extreme_logits_are_finite():
    logits = (LOGITS[0].sign() * 1e4).requires_grad_()
    losses = losses_of(Ghm(momentum=0.75), logits, batch_of(LABELS))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def three_steps(folder, accumulate: int, mixer: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Weights and density after three batches of 20 digits."""
    overrides = ["loss=ghm", "loss.momentum=0.75", "optimizer=sgd", "optimizer.lr=1", "device=cpu"]
    overrides += ["model=mlp", f"mixer={mixer}", f"accumulate={accumulate}"]
    run = make_run(folder, *overrides)
    step = run.assemble_step(Clock(3, 3)).step
    feed = run.loader.open(run.data.train, run.device)
    for i, batch in enumerate(feed.batches(Plan.of(run.data.train.ids[:60], 20))):
        step(batch, StepId(0, 0, i), 20 * i)
    return [p.detach() for p in run.model.parameters()], run.loss.get_buffer("density")


@pytest.mark.parametrize("mixer", ["none", "mixup"])
def test_accumulation_equals_the_large_batch(tmp_path, mixer):
    """20 rows form chunks of 7, 7 and 6; counts per chunk would give other weights."""
    weights, density = three_steps(tmp_path, 1, mixer)
    assert density.sum() > 0, "the batch is surveyed"
    parts, density_of_parts = three_steps(tmp_path, 3, mixer)
    torch.testing.assert_close(parts, weights)
    torch.testing.assert_close(density_of_parts, density)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_skipped_step_leaves_the_density(tmp_path, accumulate):
    overrides = ["loss=ghm", "model=mlp", "nonfinite=skip", "device=cpu"]
    run = make_run(tmp_path, *overrides, f"accumulate={accumulate}")
    step = run.assemble_step(Clock(3, 3)).step
    feed = run.loader.open(run.data.train, run.device)
    first, second = feed.batches(Plan.of(run.data.train.ids[:40], 20))
    step(first, StepId(0, 0, 0), 0)
    before = run.loss.get_buffer("density").clone()
    step(second.with_images(second.images.float() * torch.nan), StepId(0, 0, 1), 20)
    assert torch.equal(run.loss.get_buffer("density"), before)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.bins must be in \[1, inf\), got 0"):
        Ghm(bins=0)
    with pytest.raises(ValueError, match=r"loss\.momentum must be in \[0, 1\), got 1"):
        Ghm(momentum=1.0)
