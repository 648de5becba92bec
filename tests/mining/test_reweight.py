import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.plan import Plan
from trainer.mining.base import Epoch
from trainer.mining.reweight import Reweight

IDS = torch.tensor([2, 3, 5, 7])  # dataset ids, not positions
LOSSES = torch.tensor([1.0, 2.0, 4.0, 1.0])  # their mean is 2


def epoch() -> Epoch:
    labels = torch.zeros(20, dtype=torch.long)
    return Epoch(number=1, total=10, batch_size=2, seed=0, ids=IDS, labels=labels)


def seen(ids: torch.Tensor = IDS, losses: torch.Tensor = LOSSES, **options) -> Reweight:
    """A miner that has seen the losses of the ids, and one of id 0, outside the split."""
    miner = Reweight(**options)
    miner.prepare(torch.zeros(20))
    miner.live[ids] = losses
    miner.live[0] = 1e6
    miner.refresh(epoch(), pytest.fail)
    return miner


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.5, 1, 2, 0.5]),
        ({"power": 2.0}, [0.25, 1, 4, 0.25]),
        ({"power": -1.0}, [2, 1, 0.5, 2]),
        ({"power": 2.0, "temperature": 2.0}, [0.5, 1, 2, 0.5]),
        ({"power": 2.0, "clip": 2.0}, [0.5, 1, 2, 0.5]),
        ({"temperature": 1e9}, [1, 1, 1, 1]),
        ({"power": 0.0}, [1, 1, 1, 1]),
    ],
)
def test_weights_by_hand(options, expected):
    """v = (h / mean h)^(power / temperature) in [1 / clip, clip]; w = v / mean v."""
    plan = seen(**options).sampler(Plan.of(IDS, 2), epoch())
    expected = torch.tensor(expected) / (sum(expected) / 4)
    torch.testing.assert_close(plan.weight, expected)
    assert plan.weight.mean().item() == pytest.approx(1)
    assert plan.count.tolist() == [1] * 4
    assert plan.ids[:, 0].tolist() == IDS.tolist()


def test_the_history_is_a_moving_average_that_starts_at_the_first_loss():
    miner = Reweight(beta=0.75)
    miner.prepare(torch.zeros(20))
    ones = torch.ones(2)
    index = torch.tensor([[5], [7]])
    batch = Batch(torch.zeros(2, 1, 1, 1), index, ones[:, None], index, ones, ones)
    average = [4.0, 8.0]
    miner.observe(batch, torch.tensor(average))
    assert miner.live[[5, 7]].tolist() == average, "the average starts at the first loss, not at 0"
    for losses in ([0.0, 4.0], [1.0, 1.0]):
        miner.observe(batch, torch.tensor(losses))
        average = [0.75 * h + 0.25 * loss for h, loss in zip(average, losses, strict=True)]
    assert miner.live[[5, 7]].tolist() == pytest.approx(average)


def test_unseen_examples_have_the_weight_of_a_mean_loss():
    miner = seen(IDS[:3], torch.tensor([1.0, 1.0, 4.0]))
    expected = torch.tensor([0.5, 0.5, 2, 1])
    torch.testing.assert_close(miner.weights(miner.frozen, IDS)[IDS], expected)
    nothing = seen(IDS[:0], LOSSES[:0])
    assert nothing.weights(nothing.frozen, IDS)[IDS].tolist() == [1] * 4


def test_zero_losses_have_finite_weights():
    assert Reweight().weights(torch.zeros(4)).tolist() == [1] * 4
    easy = Reweight(power=-1.0, clip=4.0).weights(torch.tensor([0.0, 1, 1, 2]))
    torch.testing.assert_close(easy, torch.tensor([4, 1, 1, 0.5]) / 1.625)


def test_a_blended_row_has_the_weight_of_its_dominant_example():
    ids = torch.tensor([[2, 5], [5, 2]])
    plan = Plan.of(ids, 2, torch.tensor([[0.3, 0.7], [0.4, 0.6]]))
    plan = seen().sampler(plan, epoch())
    torch.testing.assert_close(plan.weight, torch.tensor([2.0, 0.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1.0}, r"mining\.beta must be in \[0, 1\), got 1\.0"),
        ({"temperature": 0.0}, r"mining\.temperature"),
        ({"clip": 0.5}, r"mining\.clip must be in \[1, inf\), got 0\.5"),
        ({"power": float("nan")}, r"mining\.power"),
        ({"score": "margin"}, r"mining\.score must not be margin"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Reweight(**options)
