from collections import Counter

import pytest
import torch

from trainer.core.plan import Plan
from trainer.mining.base import Epoch
from trainer.mining.rs2 import Rs2

IDS = torch.arange(10) * 3 + 1  # dataset ids, not positions


def epoch(number: int, seed: int = 0) -> Epoch:
    labels = torch.zeros(40, dtype=torch.long)
    return Epoch(number=number, total=9, batch_size=4, seed=seed, ids=IDS, labels=labels)


@pytest.mark.parametrize(
    ("number", "keep"), [(10, 0.3), (10, 0.7), (12, 0.25), (7, 1.0), (11, 0.1)]
)
def test_every_example_is_used_as_often_and_once_in_a_part(number, keep):
    """Also where a part is the end of one pass and the start of the next."""
    miner, used = Rs2(keep=keep), Counter()
    size = max(1, int(keep * number + 0.5))
    for each in range(3 * number):
        part = miner.rows(number, each).tolist()
        assert len(set(part)) == len(part) == size
        used.update(part)
        counts = [used[i] for i in range(number)]
        assert max(counts) - min(counts) <= 1
    assert set(used.values()) == {3 * size}


def test_a_part_depends_on_seed_and_epoch_alone():
    """Parts asked for in any order, as by a run that resumes, are the same."""
    whole = Rs2(keep=0.3)
    parts = [whole.rows(10, each, 5) for each in range(12)]
    for each in (11, 3, 7, 0):
        assert torch.equal(Rs2(keep=0.3).rows(10, each, 5), parts[each])
        assert torch.equal(whole.rows(10, each, 5), parts[each])
    other = [Rs2(keep=0.3).rows(10, each, 6) for each in range(12)]
    assert not all(map(torch.equal, parts, other))


def test_the_rows_of_the_part_are_in_the_plans_order():
    plan = Plan.of(IDS.flip(0).repeat(2), 4)
    part = IDS[Rs2(keep=0.5).rows(10, 2)].tolist()
    chosen = Rs2(keep=0.5).sampler(plan, epoch(2))
    assert chosen.ids[:, 0].tolist() == [i for i in IDS.flip(0).repeat(2).tolist() if i in part]
    assert chosen.bounds.tolist() == [0, 4, 8, 10]
    assert chosen.count.tolist() == chosen.weight.tolist() == [1.0] * 10


def test_parts_count_from_the_end_of_the_warmup():
    miner = Rs2(keep=0.5, warmup_epochs=3)
    chosen = miner.sampler(Plan.of(IDS, 4), epoch(3))
    assert set(chosen.ids[:, 0].tolist()) == set(IDS[Rs2(keep=0.5).rows(10, 0)].tolist())


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"mining\.keep must be in \(0, 1\], got 0\.0"):
        Rs2(keep=0.0)
