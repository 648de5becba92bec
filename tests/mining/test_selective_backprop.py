from collections import deque

import numpy as np
import pytest
import torch

from trainer.core.batch import Batch, only
from trainer.core.seed import Purpose, StepId
from trainer.mining.selective_backprop import SelectiveBackprop


def batch_of(size: int) -> Batch:
    ones = torch.ones(size)
    ids = torch.arange(size)[:, None]
    return Batch(torch.zeros(size, 1, 2, 2), ids, ones[:, None], ids, ones, ones)


def seen(losses: list[float], **options) -> SelectiveBackprop:
    miner = SelectiveBackprop(**options)
    miner.observe(batch_of(len(losses)), torch.tensor(losses))
    return miner


def test_the_probability_by_hand():
    """Window 1, 2, 3, 4 and the batch's own 0, 2.5, 9: of these 7, 1, 4 and 7 are no higher."""
    ranks = torch.tensor([0.0, 2.5, 9.0])
    chance = seen([1.0, 2, 3, 4], beta=2.0).chance(ranks)
    torch.testing.assert_close(chance, torch.tensor([1.0, 16, 49]) / 49)


def test_against_a_slow_loop():
    rng = torch.Generator().manual_seed(0)
    miner, recent = SelectiveBackprop(beta=1.5, history=40), deque(maxlen=40)
    for step in range(8):
        ranks = torch.rand(16, generator=rng).round(decimals=1)
        weighed = miner.weigh(ranks, batch_of(16), StepId(3, 1, step))
        drawn = StepId(3, 1, step).generator(Purpose.MINE).random(16, dtype=np.float32)
        first, losses = not recent, ranks.tolist()
        recent.extend(losses)
        for i, loss in enumerate(losses):
            chance = (sum(x <= loss for x in recent) / len(recent)) ** 1.5
            assert weighed.weight[i] == weighed.count[i] == (first or drawn[i] < chance)
        miner.observe(batch_of(16), ranks)
        assert miner.window.tolist() == pytest.approx(list(recent))


def test_the_fraction_kept_is_1_over_beta_plus_1():
    rng = torch.Generator().manual_seed(0)
    for beta in (0.0, 1.0, 2.0):
        miner, kept = SelectiveBackprop(beta=beta), 0.0
        for step in range(100):
            ranks = torch.rand(64, generator=rng)
            weighed = miner.weigh(ranks, batch_of(64), StepId(0, 0, step))
            kept += weighed.count.sum().item() if step >= 20 else 0
            miner.observe(batch_of(64), ranks)
        assert kept / (80 * 64) == pytest.approx(1 / (beta + 1), abs=0.02)


def test_losses_below_the_whole_window_keep_a_positive_probability():
    """Without the batch's own losses in the CDF the probability would be 0."""
    chance = seen([5.0] * 1024).chance(torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(chance, torch.tensor([1 / 1024, 2 / 1024]))


def test_weigh_does_not_change_the_state():
    """Only `observe` updates the window, so a skipped step changes nothing."""
    miner = seen([1.0, 2.0])
    miner.weigh(torch.tensor([3.0, 4.0]), batch_of(2), StepId(0, 0, 0))
    assert miner.window.tolist() == [1.0, 2.0]


def test_chunks_update_the_window_like_the_whole_batch():
    whole, parts = SelectiveBackprop(history=5), SelectiveBackprop(history=5)
    ranks = torch.arange(8.0)
    whole.observe(batch_of(8), ranks)
    for part in ranks.split(3):
        parts.observe(batch_of(len(part)), part)
    assert whole.window.tolist() == parts.window.tolist() == [3, 4, 5, 6, 7]


def test_a_mask_is_one_example():
    miner = seen([1.0, 2.0])
    ranks = torch.tensor([[[0.0, 0.0]], [[0.0, 18.0]]])  # means 0 and 9
    weighed = miner.weigh(ranks, batch_of(2), StepId(0, 0, 0))
    assert weighed.count.shape == (2,)
    assert weighed.count[1] == 1
    kept = weighed.count[:, None, None].expand(2, 1, 2)
    pixels = miner.weigh(ranks, only(batch_of(2), torch.ones(2, 1, 2)), StepId(0, 0, 0))
    assert torch.equal(pixels.count, kept), "also if pixels have their own counts"


def test_the_state_is_restored():
    miner, again = seen([1.0, 2.0, 3.0]), SelectiveBackprop()
    again.load_state_dict(miner.state_dict())
    ranks = torch.rand(32, generator=torch.Generator().manual_seed(0)) * 4
    first, second = (m.weigh(ranks, batch_of(32), StepId(0, 0, 7)) for m in (miner, again))
    assert torch.equal(first.count, second.count)
    assert 0 < first.count.sum() < 32


@pytest.mark.parametrize(("option", "value"), [("beta", -1.0), ("history", 0)])
def test_bad_settings_are_named(option, value):
    with pytest.raises(ValueError, match=rf"mining\.{option} must be in .*, got {value}"):
        SelectiveBackprop(**{option: value})
