import pytest
import torch

from trainer.core.plan import Plan
from trainer.mining.base import Epoch
from trainer.mining.self_paced import SelfPaced

IDS = torch.tensor([2, 3, 5, 7, 11, 13])  # dataset ids, not positions
LOSSES = torch.tensor([0.1, 0.9, 0.5, 3.0, 0.0, 1.5])


def epoch(number: int = 1, total: int = 10) -> Epoch:
    labels = torch.zeros(20, dtype=torch.long)
    return Epoch(number=number, total=total, batch_size=2, seed=0, ids=IDS, labels=labels)


def seen(ids: torch.Tensor = IDS, losses: torch.Tensor = LOSSES, **options) -> SelfPaced:
    miner = SelfPaced(**options)
    miner.prepare(torch.zeros(20))
    miner.live[ids] = losses
    miner.refresh(epoch(), pytest.fail)
    return miner


def test_the_easiest_half_comes_first_in_plan_order():
    plan = seen(pool=0.5).sampler(Plan.of(IDS.flip(0), 2), epoch(1))
    assert plan.ids[:, 0].tolist() == [11, 5, 2]
    assert plan.weight.tolist() == plan.count.tolist() == [1, 1, 1]
    assert plan.bounds.tolist() == [0, 3]  # a final batch of one row joins the previous batch


def test_the_share_grows_linearly():
    """From 0.5 in epoch 1 to 1 in epoch 0.5 · 10 = 5, then 1."""
    shares = [SelfPaced(pool=0.5, until=0.5).share(number, 10) for number in range(1, 8)]
    assert shares == pytest.approx([0.5, 0.625, 0.75, 0.875, 1, 1, 1])
    whole = [SelfPaced(pool=0.2, until=1.0).share(n, 5) for n in range(1, 5)]
    assert whole == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize(("until", "total"), [(0.0, 10), (0.1, 10), (0.5, 2), (1.0, 1)])
def test_without_time_to_grow_the_share_is_1(until, total):
    assert SelfPaced(until=until).share(1, total) == 1


def test_against_a_slow_loop():
    rng = torch.Generator().manual_seed(0)
    losses = torch.rand(20, generator=rng).round(decimals=1)
    rows = torch.randint(20, (50,), generator=rng)
    plan = seen(torch.arange(20), losses, pool=0.3).sampler(Plan.of(rows, 8), epoch(1))
    easiest = sorted(range(50), key=lambda i: (losses[rows[i]].item(), i))[:15]
    assert plan.ids[:, 0].tolist() == [rows[i].item() for i in sorted(easiest)]


def test_unseen_examples_count_as_hardest():
    miner = seen(IDS[2:], LOSSES[2:], pool=0.7)
    plan = miner.sampler(Plan.of(IDS, 2), epoch(1))
    assert plan.ids[:, 0].tolist() == [5, 7, 11, 13]


def test_the_default_warmup_is_one_epoch():
    assert SelfPaced().warmup_epochs == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 0.0}, r"mining\.pool must be in \(0, 1\], got 0\.0"),
        ({"until": 1.5}, r"mining\.until must be in \[0, 1\], got 1\.5"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SelfPaced(**options)
