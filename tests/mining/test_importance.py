from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.importance import DECIDE_EVERY, Importance, gain, inverse_sample, shares

LOSSES = torch.tensor([0.5, 3.0, 1.0, 0.25, 2.0, 0.25])
SCORES = torch.tensor([1.0, 4.0, 2.0, 0.5, 2.0, 0.5])  # not in the order of the losses


def pool_of(size: int) -> Batch:
    ones = torch.ones(size)
    ids = torch.arange(size)[:, None]
    return Batch(torch.zeros(size, 1, 2, 2), ids, ones[:, None], ids, ones, ones)


def switched_on(**options) -> Importance:
    miner = Importance(threshold=0.0, **options)
    miner.load_state_dict({"tau": torch.ones(()), "active": False})
    return miner


def reduced(batch: Batch) -> float:
    """The step's reduction, Σ weight·ℓ / Σ count, of the rows' losses."""
    return ((batch.weight * LOSSES[batch.index[:, 0]]).sum() / batch.count.sum()).item()


def test_weights_by_hand():
    """p = 1/10, 4/10, ...: the weight of a drawn row is 1 / (6 p)."""
    rows = switched_on(keep=1.0).select(pool_of(6), lambda batch: SCORES, StepId(0, 0, 0))
    expected = 10 / (6 * SCORES[rows.index[:, 0]])
    torch.testing.assert_close(rows.weight, expected)
    assert rows.count.tolist() == [1] * 6, "counts are unchanged"


def test_the_expectation_over_all_draws_is_the_mean_of_the_pool():
    """Σ_i p_i · ℓ_i / (B p_i) is the mean, and inversion draws row i with probability p_i."""
    share = shares(SCORES)
    steps = 20_000  # a grid of uniform numbers; shares such as 1/20 are multiples of its step
    grid = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    rows = inverse_sample(share, torch.from_numpy(grid))
    torch.testing.assert_close(rows.bincount(minlength=6) / steps, share, atol=1.1 / steps, rtol=0)
    weights = 1 / (6 * share)
    drawn = (weights * LOSSES)[rows].mean().item()
    assert drawn == pytest.approx(LOSSES.mean().item(), rel=1e-3)
    assert (share * weights * LOSSES).sum().item() == pytest.approx(LOSSES.mean().item(), rel=1e-6)


def test_many_draws_average_to_the_mean_of_the_pool():
    """Also for weighted batches; dividing by Σ weight instead would be off by a tenth."""
    pool = replace(pool_of(6), weight=torch.tensor([1.0, 2, 1, 1, 0.5, 1]))
    miner, means, normalised = switched_on(keep=0.5), [], []
    for step in range(2000):
        rows = miner.select(pool, lambda batch: SCORES, StepId(1, 0, step))
        assert len(rows) == 3
        means.append(reduced(rows))
        normalised.append(means[-1] * 3 / rows.weight.sum().item())
    expected = (pool.weight * LOSSES).mean().item()
    error = np.std(means) / len(means) ** 0.5
    assert np.mean(means) == pytest.approx(expected, abs=4 * error)
    assert 4 * error < 0.04 * expected
    assert abs(np.mean(normalised) - expected) > 0.07 * expected


def test_rows_are_drawn_with_replacement():
    rows = switched_on(keep=1.0).select(
        pool_of(6), lambda batch: torch.tensor([0.0, 0, 0, 1, 0, 0]), StepId(0, 0, 0)
    )
    assert rows.index[:, 0].tolist() == [3] * 6
    assert rows.weight.tolist() == pytest.approx([1 / 6] * 6)


def test_zero_scores_are_drawn_uniformly():
    rows = switched_on(keep=1.0).select(pool_of(6), lambda batch: torch.zeros(6), StepId(0, 0, 0))
    assert rows.weight.tolist() == pytest.approx([1] * 6)
    assert len(set(rows.index[:, 0].tolist())) > 1


def test_gain_is_equation_26():
    """(1 − ‖g − u‖² / Σ g²)^−½; it is 2 if one example of four has the whole norm."""
    g = SCORES / SCORES.sum()
    expected = (1 - (g - 1 / 6).square().sum() / g.square().sum()) ** -0.5
    torch.testing.assert_close(gain(SCORES), expected)
    assert gain(torch.tensor([0.0, 0, 7, 0])).item() == pytest.approx(2)
    assert gain(torch.ones(5)).item() == pytest.approx(1)
    assert gain(torch.zeros(5)).item() == pytest.approx(1)


def test_the_threshold_is_equation_29():
    """B = 12, b = 4: sampling costs 12 + 3·4 forward passes, a batch τ times as large 12 τ."""
    assert Importance().break_even(12, 4) == pytest.approx(2.0)
    assert Importance(threshold=1.5).break_even(12, 4) == 1.5


def test_draws_uniformly_without_scoring_until_it_pays():
    miner = Importance(keep=0.5, momentum=0.5, threshold=1.5)
    skewed = torch.tensor([1e-4, 1e-4, 1e-4, 1.0])  # τ is nearly 2
    for step in range(DECIDE_EVERY):
        rows = miner.select(pool_of(8), pytest.fail, StepId(0, 0, step))
        assert rows.weight.tolist() == [1] * 4
        assert len(set(rows.index[:, 0].tolist())) == 4
        miner.observe(rows, skewed)
    assert miner.tau.item() == pytest.approx(2 * (1 - 0.5**DECIDE_EVERY), rel=1e-3)
    rows = miner.select(pool_of(8), lambda batch: torch.ones(8), StepId(0, 0, DECIDE_EVERY))
    assert miner.active
    before = miner.tau.item()
    miner.observe(rows, skewed)
    assert miner.tau.item() == pytest.approx((before + 1) / 2), "from the pool's scores, all equal"


def test_a_skipped_step_changes_nothing():
    """After a skipped step `observe` is not called, or receives ranks that are not finite."""
    miner = switched_on()
    for _ in range(2):
        miner.select(pool_of(6), lambda batch: SCORES, StepId(0, 0, 1))
    assert miner.tau == 1
    rows = miner.select(pool_of(6), pytest.fail, StepId(0, 0, 1))
    miner.observe(rows, torch.full((len(rows),), torch.nan))
    assert miner.tau == 1


def test_accumulation_updates_tau_once():
    moved = []
    for chunks in (1, 3):
        miner = Importance(keep=0.5)
        rows = miner.select(pool_of(16), pytest.fail, StepId(0, 0, 0))
        ranks = torch.arange(8.0)
        for part, chunk in zip(rows.chunks(chunks), ranks.split(-(-8 // chunks)), strict=True):
            miner.observe(part, chunk)
        moved.append(miner.tau.item())
    assert moved[0] == moved[1] == pytest.approx(0.1 * gain(torch.arange(8.0)).item())


def test_nothing_is_stored_during_the_warmup():
    miner = Importance(warmup_epochs=1)
    for _ in range(3):
        miner.observe(pool_of(4), torch.ones(4))
    assert miner.seen == []
    assert miner.tau == 0


def test_non_finite_scores_reach_the_non_finite_guard():
    scores = torch.tensor([1.0, torch.nan, 1.0, 1.0])
    rows = switched_on(keep=1.0).select(pool_of(4), lambda batch: scores, StepId(0, 0, 0))
    assert rows.weight.isnan().all()


def test_the_state_is_restored():
    miner, again = switched_on(), Importance(threshold=0.0)
    miner.select(pool_of(6), lambda batch: SCORES, StepId(0, 0, 0))
    again.load_state_dict(miner.state_dict())
    assert again.tau == 1
    first, second = (
        m.select(pool_of(6), lambda batch: SCORES, StepId(0, 0, 3)) for m in (miner, again)
    )
    assert torch.equal(first.index, second.index)
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("keep", 0.0),
        ("momentum", 1.0),
        ("threshold", -1.0),
        ("score", "margin"),
        ("score", "error"),
    ],
)
def test_bad_settings_are_named(option, value):
    with pytest.raises(ValueError, match=rf"mining\.{option} must be .*, got {value}"):
        Importance(**{option: value})
