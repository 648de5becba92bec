"""Miners by past ranks: ranks by dataset id, and the copy from the start of the epoch."""

from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.plan import Plan
from trainer.mining.base import Epoch
from trainer.mining.shared.running_scores import RunningScoreMiner, dominant

SIZE = 20
NAN = float("nan")


def batch_of(ids: list[int]) -> Batch:
    ones = torch.ones(len(ids))
    index = torch.tensor(ids)[:, None]
    return Batch(torch.zeros(len(ids), 1, 2, 2), index % 3, ones[:, None], index, ones, ones)


def epoch(number: int = 1) -> Epoch:
    labels = torch.zeros(SIZE, dtype=torch.long)
    ids = torch.arange(SIZE)
    return Epoch(number=number, total=4, batch_size=2, seed=0, ids=ids, labels=labels)


def prepared() -> RunningScoreMiner:
    miner = RunningScoreMiner()
    miner.prepare(torch.zeros(SIZE))
    return miner


def test_ranks_are_stored_by_dataset_id():
    """Not by position in the batch."""
    miner = prepared()
    miner.observe(batch_of([7, 3]), torch.tensor([0.5, 2.0]))
    assert miner.live[[7, 3]].tolist() == [0.5, 2.0]
    assert miner.live.isnan().sum() == SIZE - 2


def test_the_last_rank_of_a_repeated_example_is_stored():
    """Equal to a loop; all repeats write the same value, so the result on a GPU is unique."""
    rng = torch.Generator().manual_seed(0)
    miner, slow = prepared(), [NAN] * SIZE
    for _ in range(20):
        ids = torch.randint(SIZE, (30,), generator=rng).tolist()
        ranks = torch.rand(30, generator=rng)
        miner.observe(batch_of(ids), ranks)
        for at, rank in zip(ids, ranks.tolist(), strict=True):
            slow[at] = rank
    torch.testing.assert_close(miner.live, torch.tensor(slow), rtol=0, atol=0, equal_nan=True)


def test_the_rank_of_a_mixed_image_goes_to_its_dominant_example():
    batch = replace(
        batch_of([4, 5]),
        labels=torch.tensor([[1, 2], [2, 0]]),
        shares=torch.tensor([[0.3, 0.7], [0.6, 0.4]]),
        index=torch.tensor([[4, 9], [5, 4]]),
    )
    miner = prepared()
    miner.observe(batch, torch.tensor([1.0, 2.0]))
    assert (~miner.live.isnan()).nonzero()[:, 0].tolist() == [5, 9]
    assert miner.live[[9, 5]].tolist() == [1, 2]


def test_pixels_are_averaged():
    miner = prepared()
    miner.observe(batch_of([1, 2]), torch.tensor([[[1.0, 3.0]], [[5.0, 6.0]]]))
    assert miner.live[[1, 2]].tolist() == [2, 5.5]


def test_a_non_finite_rank_is_ignored():
    """With a deferred check a step is observed before it is known to be non-finite."""
    miner = prepared()
    miner.observe(batch_of([1]), torch.tensor([2.0]))
    miner.observe(batch_of([1, 2]), torch.tensor([NAN, float("inf")]))
    assert miner.live[1] == 2
    assert miner.live[2].isnan()


def test_frozen_ranks_are_those_of_the_start_of_the_epoch():
    miner = prepared()
    miner.observe(batch_of([1]), torch.tensor([2.0]))
    assert miner.frozen.isnan().all()
    miner.refresh(epoch(), pytest.fail)
    miner.observe(batch_of([1]), torch.tensor([9.0]))
    assert (miner.frozen[1], miner.live[1]) == (2, 9)


def test_live_and_frozen_ranks_are_restored():
    miner = prepared()
    miner.observe(batch_of([1]), torch.tensor([2.0]))
    miner.refresh(epoch(), pytest.fail)
    miner.observe(batch_of([1]), torch.tensor([9.0]))
    again = prepared()
    again.load_state_dict(miner.state_dict())
    assert (again.frozen[1], again.live[1]) == (2, 9)
    again.observe(batch_of([1]), torch.tensor([5.0]))
    assert miner.live[1] == 9, "the two miners share no memory"


def test_blended_rows_count_by_their_dominant_example():
    shares = torch.tensor([[1.0, 0.0], [0.2, 0.8], [0.5, 0.5]])
    plan = Plan.of(torch.tensor([[4, 4], [5, 6], [7, 8]]), 2, shares)
    assert dominant(plan).tolist() == [4, 6, 7]
    assert dominant(Plan.of(torch.tensor([9, 3]), 2)).tolist() == [9, 3]
