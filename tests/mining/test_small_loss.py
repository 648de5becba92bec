import pytest
import torch

from trainer.core.batch import Batch, only
from trainer.core.seed import StepId
from trainer.mining.small_loss import SmallLoss

LOSSES = torch.tensor([0.3, 5.0, 0.1, 2.0, 0.2, 0.4, 9.0, 0.0, 0.3, 1.0])


def batch_of(size: int) -> Batch:
    return Batch.of(torch.zeros(size, 1, 2, 2), torch.zeros(size, dtype=torch.long))


def kept(miner: SmallLoss, epoch: int) -> list[int]:
    weighed = miner.weigh(LOSSES, batch_of(10), StepId(0, epoch, 0))
    assert torch.equal(weighed.weight, weighed.count)
    return weighed.count.nonzero()[:, 0].tolist()


def test_the_share_falls_linearly_to_1_minus_tau():
    """R(T) = 1 − min(T/T_k, 1)·τ, from 1 in the first epoch."""
    miner = SmallLoss(tau=0.4, fall_epochs=4)
    shares = [miner.share(epoch) for epoch in range(7)]
    assert shares == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6])
    assert SmallLoss(tau=0.4, fall_epochs=0).share(0) == pytest.approx(0.6)


def test_the_smallest_losses_are_kept():
    """Not the largest, as by ohem; of equal losses the earlier."""
    miner = SmallLoss(tau=0.6, fall_epochs=2)
    assert kept(miner, 0) == list(range(10))
    assert kept(miner, 1) == [0, 2, 4, 5, 7, 8, 9]
    assert kept(miner, 2) == [0, 2, 4, 7]


def test_added_rows_and_ignored_pixels_are_not_counted():
    batch = only(batch_of(10), torch.arange(10) >= 5)
    weighed = SmallLoss(tau=0.6, fall_epochs=0).weigh(LOSSES, batch, StepId(0, 0, 0))
    assert weighed.count.nonzero()[:, 0].tolist() == [7, 8]
    assert weighed.weight[~(weighed.count > 0)].sum() == 0


def test_at_least_one_is_kept():
    miner = SmallLoss(tau=0.99, fall_epochs=0)
    assert miner.mask(LOSSES[:3], 9).tolist() == [False, False, True]


def test_tau_is_the_noise_rate_unless_given():
    told: list[str] = []
    assert SmallLoss(noise_rate=0.3, warn=told.append).share(10) == pytest.approx(0.7)
    assert SmallLoss(noise_rate=0.3, warn=told.append, tau=0.0).share(10) == 1
    assert not told
    assert SmallLoss(noise_rate=0.0, warn=told.append).share(10) == 1
    assert "keeps every example" in told[0]
    assert "mining.tau" in told[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.0}, r"mining\.tau must be in \[0, 1\), got 1\.0"),
        ({"fall_epochs": -1}, r"mining\.fall_epochs must be in \[0, inf\), got -1"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SmallLoss(**options)
