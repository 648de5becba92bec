from dataclasses import replace

import pytest
import torch
from support import digest, fitted

from trainer.core.errors import Interrupted
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, generator
from trainer.mining.base import Epoch
from trainer.mining.infobatch import InfoBatch
from trainer.storage import checkpoint
from trainer.training.learning_rate import LearningRate

IDS = torch.tensor([2, 3, 5, 7, 11, 13])  # dataset ids, not positions
LOSSES = torch.tensor([0.1, 0.9, 0.5, 3.0, 0.0, 1.5])  # their mean is 1.0


def epoch(number: int = 1, total: int = 8, ids: torch.Tensor = IDS) -> Epoch:
    labels = torch.zeros(20, dtype=torch.long)
    return Epoch(number=number, total=total, batch_size=2, seed=0, ids=ids, labels=labels)


def seen(ids: torch.Tensor = IDS, losses: torch.Tensor = LOSSES, **options) -> InfoBatch:
    """A miner that has seen the losses of the ids, and one of id 0, outside the split."""
    miner = InfoBatch(**options)
    miner.prepare(torch.zeros(20))
    miner.live[ids] = losses
    miner.live[0] = 1e6
    miner.refresh(epoch(), pytest.fail)
    return miner


def test_easy_rows_are_dropped_or_get_a_higher_weight():
    """Below the mean 1.0 are 2, 3, 5 and 11: with r = 0.5 the kept ones have weight 2, count 1."""
    plan = seen().sampler(Plan.of(IDS.flip(0), 2), epoch(2))
    ids = plan.ids[:, 0].tolist()
    assert {7, 13} <= set(ids)
    assert 2 < len(ids) < 6
    assert ids == [i for i in IDS.flip(0).tolist() if i in ids], "the order of the plan"
    weights = dict(zip(ids, plan.weight.tolist(), strict=True))
    assert weights == {i: 1 if i in (7, 13) else 2 for i in ids}
    assert plan.count.tolist() == [1] * len(ids), "updates keep their size"
    assert plan.bounds.tolist()[-1] == len(ids)


def test_against_a_slow_loop():
    rng = torch.Generator().manual_seed(0)
    ids = torch.randperm(20, generator=rng)[:15]
    losses = torch.rand(15, generator=rng)
    miner = seen(ids, losses, prune=0.3)
    rows = ids[torch.randint(15, (40,), generator=rng)]  # a sampler that repeats
    plan = miner.sampler(Plan.of(rows, 4), epoch(ids=ids))
    by_id = dict(zip(ids.tolist(), losses.tolist(), strict=True))
    mean = sum(by_id.values()) / 15
    drawn = generator(0, Purpose.MINE, 1).random(40)
    kept = [
        (row, 1 / 0.7 if by_id[row] < mean else 1.0)
        for row, u in zip(rows.tolist(), drawn, strict=True)
        if by_id[row] >= mean or u >= 0.3
    ]
    assert plan.ids[:, 0].tolist() == [row for row, _ in kept]
    torch.testing.assert_close(plan.weight, torch.tensor([weight for _, weight in kept]))


@pytest.mark.parametrize("prune", [0.5, 0.8])
def test_the_weighted_sum_is_unbiased(prune):
    """The mean weight of each row over 500 epochs, with 0 where it is dropped, is 1."""
    miner = seen(prune=prune)
    total = torch.zeros(20, dtype=torch.float64)
    for number in range(1, 501):
        plan = miner.sampler(Plan.of(IDS, 2), epoch(number, total=10**6))
        total.index_add_(0, plan.ids[:, 0], plan.weight.double())
    deviation = (prune / (1 - prune) / 500) ** 0.5
    assert (total[IDS] / 500 - 1).abs().max() < 4 * deviation
    assert total[[7, 13]].tolist() == [500, 500]


def test_the_first_epoch_trains_on_everything():
    miner = InfoBatch()
    miner.prepare(torch.zeros(20))
    miner.refresh(epoch(0), pytest.fail)
    plan = miner.sampler(Plan.of(IDS, 2), epoch(0))
    assert plan.ids[:, 0].tolist() == IDS.tolist()
    assert plan.weight.tolist() == [1] * 6


def test_unseen_examples_are_kept_and_left_out_of_the_mean():
    miner = seen(IDS[:4], torch.tensor([1.0, 1.0, 4.0, 2.0]), prune=0.99)
    plan = miner.sampler(Plan.of(IDS, 2), epoch())
    assert plan.ids[:, 0].tolist() == [5, 7, 11, 13]
    assert plan.weight.tolist() == [1] * 4


@pytest.mark.parametrize(
    ("total", "delta", "first"), [(8, 0.125, 7), (30, 0.125, 27), (2, 0.125, 2), (4, 1.0, 0)]
)
def test_the_last_epochs_train_on_everything(total, delta, first):
    miner = seen(delta=delta, prune=0.99)
    lengths = [len(miner.sampler(Plan.of(IDS, 2), epoch(n, total))) for n in range(total)]
    assert [length == 6 for length in lengths] == [n >= first for n in range(total)]


def test_blended_rows_count_by_their_dominant_example():
    """A SMOTE row of 0.3 of 7 (hard) and 0.7 of 2 (easy) is easy; the plan's weights multiply."""
    ids = torch.tensor([[7, 2], [7, 2], [13, 13]])
    plan = Plan.of(ids, 2, torch.tensor([[0.3, 0.7], [0.7, 0.3], [1.0, 0.0]]))
    plan = seen(prune=0.01).sampler(replace(plan, weight=torch.tensor([3.0, 3.0, 1.0])), epoch())
    assert plan.ids.tolist() == ids.tolist()
    torch.testing.assert_close(plan.weight, torch.tensor([3 / 0.99, 3, 1]))
    assert plan.shares[0].tolist() == pytest.approx([0.3, 0.7])


def test_the_plan_of_an_epoch_ignores_later_losses():
    miner = seen()
    first = miner.sampler(Plan.of(IDS, 2), epoch())
    miner.live[IDS] = 5.0
    second = miner.sampler(Plan.of(IDS, 2), epoch())
    assert torch.equal(first.ids, second.ids)
    assert torch.equal(first.weight, second.weight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune": 1.0}, r"mining\.prune must be in \[0, 1\), got 1\.0"),
        ({"prune": -0.1}, r"mining\.prune"),
        ({"delta": 1.5}, r"mining\.delta must be in \[0, 1\]"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        InfoBatch(**options)


RUN = ("epochs=3", "schedule=cosine_decay", "mining.delta=0.34", "mining.prune=0.6")


def rates(folder, monkeypatch, *overrides) -> list[tuple[float, float]]:
    """The clock and the learning rate at each step of a run."""
    taken = []
    apply = LearningRate.apply

    def noting(self, optimizer, t):
        taken.append((t, apply(self, optimizer, t)))
        return taken[-1][1]

    with monkeypatch.context() as patch:
        patch.setattr(LearningRate, "apply", noting)
        fitted(folder, *overrides)
    return taken


def test_the_schedule_follows_epoch_progress(tmp_path, monkeypatch):
    """A cosine by optimizer steps would end too high, since pruned epochs have fewer steps."""
    plain = rates(tmp_path / "plain", monkeypatch, *RUN[:2])
    mined = rates(tmp_path / "mined", monkeypatch, "mining=infobatch", *RUN)
    assert len(mined) < len(plain) == 3 * 7
    starts = {t: lr for t, lr in plain if t % 7 == 0}
    assert len(starts) == 3
    assert {t: lr for t, lr in mined if t % 7 == 0} == starts
    assert mined[-1] == plain[-1], "the last epoch trains on everything"


def test_a_run_stopped_within_an_epoch_resumes_identically(tmp_path):
    """Stopped within the pruned epoch, and in the validation before it."""
    expected = digest(fitted(tmp_path / "whole", "mining=infobatch", *RUN))
    for after, epoch in ((8, 0), (12, 1)):
        folder = tmp_path / f"stop-{after}"
        with pytest.raises(Interrupted):
            fitted(folder, "mining=infobatch", *RUN, stop_after=after)
        saved = checkpoint.latest(folder / "checkpoints", pytest.fail)
        assert saved.state["progress"]["epoch"] == epoch
        assert saved.state["progress"]["position"] > 0
        assert digest(fitted(folder, "mining=infobatch", *RUN)) == expected
