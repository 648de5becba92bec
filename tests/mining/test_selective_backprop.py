from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import make_run

from trainer.core.batch import Batch, only
from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import Epoch
from trainer.mining.selective_backprop import SelectiveBackprop
from trainer.run.compatibility import check_delay
from trainer.run.run import Run
from trainer.training.step import Learned, Step


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


# In two passes

TWO = ("mining=selective_backprop", "mining.mode=two_pass", "mining.warmup_epochs=0")
SMALL = ("model=mlp", "device=cpu", "batch_size=8", "optimizer=sgd", "optimizer.lr=0.1")


def stepped(folder, *overrides: str) -> tuple[Run, Step, list[tuple[Batch, bool]]]:
    """A run with a step, and a list that is filled with the batches that `learn` trains on."""
    run = make_run(folder, *SMALL, *overrides)
    step, seen = run.assemble_step(Clock(10, 100)).step, []
    learn = step.learn

    def watched(batch: Batch, step_id: StepId, part: None = None, *, mining: bool) -> Learned:
        seen.append((batch, mining))
        return learn(batch, step_id, part, mining=mining)

    step.learn = watched
    return run, step, seen


def test_a_step_trains_on_a_full_batch_or_not_at_all(tmp_path):
    """The rows kept are trained on once each, in order, in batches of 8; only they cost passes."""
    run, step, seen = stepped(tmp_path, *TWO)
    feed = run.loader.open(run.data.train, run.device)
    ids = run.data.train.ids[:160]
    before = [p.detach().clone() for p in run.model.parameters()]
    updates = []
    for i, batch in enumerate(feed.batches(Plan.of(ids, 8))):
        step(batch, StepId(0, 0, i), 8 * i)
        now = [p.detach().clone() for p in run.model.parameters()]
        updates.append(not all(map(torch.equal, now, before)))
        before = now
    assert updates[0] is False
    assert 0 < sum(updates) == len(seen) < 20
    assert all(len(batch) == 8 for batch, _ in seen)
    trained = torch.cat([batch.index[:, 0] for batch, _ in seen])
    places = [ids.tolist().index(i) for i in trained.tolist()]
    assert places == sorted(set(places))
    assert step.cost.backward == 8 * len(seen)
    assert step.cost.forward == 160 + 8 * len(seen), "a read-only pass of every pool"
    assert torch.equal(seen[-1][0].labels[:, 0], run.data.train.labels[trained[-8:]])


def test_the_choice_is_that_of_the_losses_at_the_time(tmp_path):
    """Scores are of the current weights, in eval mode, and draw by CDF(loss)^β."""
    run, step, _ = stepped(tmp_path, *TWO, "mining.beta=2")
    feed = run.loader.open(run.data.train, run.device)
    miner, recent = run.miner, []
    for i, batch in enumerate(feed.batches(Plan.of(run.data.train.ids[:64], 8))):
        prepared = step.prepare(batch, StepId(0, 0, i), 8 * i)
        with torch.no_grad():
            losses = F.cross_entropy(
                run.model(prepared.images), prepared.labels[:, 0], reduction="none"
            ).tolist()
        waited = int(miner.queue.count) if miner.queue else 0
        step(batch, StepId(0, 0, i), 8 * i)
        draws = StepId(0, 0, i).generator(Purpose.SELECT).random(8, dtype=np.float32)
        first, recent = not recent, recent + losses
        chance = [(sum(x <= loss for x in recent) / len(recent)) ** 2 for loss in losses]
        kept = 8 if first else sum(d < c for d, c in zip(draws, chance, strict=True))
        assert int(miner.queue.count) == waited + kept - 8 * (waited >= 8)


def test_stale_scores_cost_no_pass(tmp_path):
    """Epochs 0 and 2 score; epoch 1 uses the scores of 0, by dataset id."""
    run, step, _ = stepped(tmp_path, *TWO, "mining.stale=2")
    feed = run.loader.open(run.data.train, run.device)
    plan = Plan.of(run.data.train.ids[:32], 8)
    scoring = []
    for epoch in range(3):
        before = step.cost.forward - step.cost.backward
        for i, batch in enumerate(feed.batches(plan)):
            step(batch, StepId(0, epoch, 4 * epoch + i), 8 * i)
        scoring.append(step.cost.forward - step.cost.backward - before)
    assert scoring == [32, 0, 32]
    assert (
        run.miner.scores.isfinite().nonzero()[:, 0].tolist()
        == plan.ids[:, 0].sort().values.tolist()
    )


def test_the_queue_has_the_runs_batch_size(tmp_path):
    """Also where the last batch of an epoch is the first that is seen, and for another size."""
    miner = make_run(tmp_path, *SMALL, *TWO).miner
    miner.prepare(torch.zeros(20, dtype=torch.long))
    for size, expected in ((8, 8), (8, 8), (4, 4), (50, 20)):
        before = miner.queue
        epoch = Epoch(
            number=0, total=1, batch_size=size, seed=0, ids=torch.arange(20), labels=miner.labels
        )
        miner.refresh(epoch, pytest.fail)
        assert miner.queue.size == expected
        assert (miner.queue is before) == (before is not None and before.size == expected)


def test_an_example_without_a_score_is_the_hardest():
    miner = SelectiveBackprop(mode="two_pass", stale=2, warmup_epochs=0)
    miner.prepare(torch.zeros(8, dtype=torch.long))
    miner.scores[:4] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    stale = miner.scored(batch_of(8), pytest.fail, 1)
    assert stale.tolist() == [0.0, 1.0, 2.0, 3.0] + [float("inf")] * 4
    mixed = replace(
        batch_of(2),
        index=torch.tensor([[0, 3], [1, 7]]),
        shares=torch.tensor([[0.5, 0.5], [1.0, 0.0]]),
    )
    assert miner.scored(mixed, pytest.fail, 1).tolist() == [1.5, 1.0]
    miner.window = torch.arange(4.0)
    assert miner.chance(stale)[4:].tolist() == [1.0] * 4


def test_two_passes_are_refused_where_rows_cannot_wait():
    miner = SelectiveBackprop(mode="two_pass")
    with pytest.raises(ConfigError, match=r"mining\.mode=two_pass needs one process, got 2"):
        check_delay(miner, processes=2)
    check_delay(SelectiveBackprop(), processes=2)
    assert "mask" not in miner.targets
    assert "mask" in SelectiveBackprop().targets
    with pytest.raises(ValueError, match=r"mining\.stale=2 needs mining\.mode=two_pass"):
        SelectiveBackprop(stale=2)
