import pytest
import torch

from trainer.core.plan import Plan
from trainer.mining.base import Epoch
from trainer.mining.hard_example import HardExample

IDS = torch.tensor([2, 3, 5, 7, 11, 13])  # dataset ids, not positions
RANKS = torch.tensor([0.1, 0.9, 0.5, 0.9, 0.0, 0.2])


def epoch(number=1):
    return Epoch(
        number=number, total=4, batch_size=2, seed=0, ids=IDS, labels=torch.zeros(20).long()
    )


def refreshed(**options) -> HardExample:
    miner = HardExample(**options)
    miner.refresh(epoch(), lambda ids: RANKS)
    return miner


def test_the_hard_set_contains_dataset_ids():
    """Not positions in the scored list; ties go to the earlier example."""
    assert refreshed(keep=0.5).hard.tolist() == [3, 7, 5]


def test_a_mask_is_ranked_by_the_mean_of_its_pixels():
    """Example 3 is third by its mean, although one of its pixels has 0.9."""
    pixels = RANKS[:, None, None].repeat(1, 2, 2)
    pixels[1] = torch.tensor([[0.9, 0.0], [0.0, 0.0]])
    miner = HardExample(keep=0.5)
    miner.refresh(epoch(), lambda ids: pixels)
    assert miner.hard.tolist() == [7, 5, 3]


def test_each_step_gets_its_own_hard_batch():
    plan = refreshed(keep=0.5, weight=0.5).sampler(Plan.of(IDS.flip(0), 2), epoch())
    assert plan.bounds.tolist() == [0, 4, 8, 12]
    for start in (0, 4, 8):
        assert plan.count[start : start + 4].tolist() == [1, 1, 0, 0]
        assert plan.weight[start : start + 4].tolist() == [1, 1, 0.5, 0.5]
    hard = plan.ids[plan.count == 0][:, 0].tolist()
    assert sorted(hard[:3]) == sorted(hard[3:]) == [3, 5, 7], "shuffled passes over the hard set"
    assert plan.ids[plan.count == 1][:, 0].tolist() == IDS.flip(0).tolist()


def test_resample_trains_only_on_the_hard_set():
    plan = refreshed(keep=0.5, mode="resample").sampler(Plan.of(IDS, 2), epoch())
    assert sorted(plan.ids[:, 0].tolist()) == [3, 5, 7]
    assert plan.weight.tolist() == plan.count.tolist() == [1, 1, 1]


def test_scans_every_k_epochs_after_the_warmup():
    scans = []
    miner = HardExample(every=2, warmup_epochs=1)
    for number in range(1, 6):
        miner.refresh(epoch(number), lambda ids, n=number: scans.append(n) or RANKS)
    assert scans == [1, 3, 5]


def test_the_plan_depends_only_on_the_state_and_the_epoch():
    miner = refreshed()
    again = HardExample()
    again.load_state_dict(miner.state_dict())
    first, second = (m.sampler(Plan.of(IDS, 2), epoch()) for m in (miner, again))
    assert torch.equal(first.ids, second.ids)
    other = miner.sampler(Plan.of(IDS, 2), epoch(2))
    assert not torch.equal(first.ids, other.ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0.0}, r"mining\.keep must be in \(0, 1\], got 0\.0"),
        ({"keep": 1.5}, r"mining\.keep"),
        ({"every": 0}, r"mining\.every"),
        ({"weight": -1.0}, r"mining\.weight"),
        ({"warmup_epochs": -1}, r"mining\.warmup_epochs"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        HardExample(**options)
