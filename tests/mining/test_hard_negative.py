from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.mining.base import Epoch
from trainer.mining.hard_negative import HardNegative

MOMENT = StepId(0, 0, 0)


def batch_of(labels: torch.Tensor, shares: torch.Tensor | None = None) -> Batch:
    """A batch with labels [B, ...], or labels [B, K] with shares."""
    ones = torch.ones(len(labels))
    labels, shares = (labels[:, None], ones[:, None]) if shares is None else (labels, shares)
    index = torch.arange(len(labels))[:, None].expand_as(shares)
    return Batch(torch.zeros(len(labels), 1, 2, 2), labels, shares, index, ones, ones)


def kept(ranks, labels, **options) -> list[int]:
    weighed = HardNegative(**options).weigh(ranks, batch_of(labels), MOMENT)
    assert torch.equal(weighed.weight, weighed.count)
    return weighed.count.flatten().int().tolist()


def test_all_positives_and_the_hardest_negatives():
    """One positive, the easiest example, with two negatives."""
    labels = torch.tensor([0, 0, 3, 0, 0])
    ranks = torch.tensor([0.5, 2.0, 0.1, 1.0, 3.0])
    assert kept(ranks, labels, ratio=2.0) == [0, 1, 1, 0, 1]


def test_positives_count_once_when_negatives_run_out():
    """Three positives allow nine negatives but there are two: five elements count 1 each."""
    labels = torch.tensor([1, 0, 2, 0, 1])
    assert kept(torch.arange(5.0), labels) == [1, 1, 1, 1, 1]
    assert kept(torch.arange(3.0), torch.tensor([1, 2, 3])) == [1, 1, 1]


def test_a_batch_without_positives_keeps_the_hardest():
    labels = torch.zeros(4).long()
    ranks = torch.tensor([0.5, 2.0, 1.0, 2.0])
    assert kept(ranks, labels) == [0, 1, 0, 0]
    assert kept(ranks, labels, min_kept=3) == [0, 1, 1, 1]
    assert kept(ranks, labels, min_kept=0) == [0, 0, 0, 0]
    assert kept(ranks, labels, min_kept=9) == [1, 1, 1, 1]


def test_pixels_against_a_slow_loop():
    """Negatives compete across the whole batch; ignored pixels (count 0) are never selected."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 8, (3, 6, 5), generator=rng).clamp(min=5) - 5  # mostly 0
    ranks = torch.rand(3, 6, 5, generator=rng).round(decimals=1)
    counts = (torch.rand(3, 6, 5, generator=rng) < 0.8).float()
    batch = replace(batch_of(labels), weight=counts, count=counts)
    weighed = HardNegative(ratio=1.5).weigh(ranks, batch, MOMENT)
    flat, score, live = labels.flatten(), ranks.flatten().tolist(), counts.flatten().bool()
    positives = [i for i in range(90) if live[i] and flat[i] != 0]
    negatives = [i for i in range(90) if live[i] and flat[i] == 0]
    negatives.sort(key=lambda i: (-score[i], i))
    number = int(1.5 * len(positives) + 0.5)
    assert number < len(negatives)
    expected = sorted(positives + negatives[:number])
    assert weighed.count.flatten().nonzero()[:, 0].tolist() == expected
    assert torch.equal(weighed.weight, weighed.count)


def test_a_mixed_image_counts_by_its_dominant_label():
    labels = torch.tensor([[0, 4], [4, 0], [0, 0], [0, 0]])
    shares = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.5, 0.5], [0.5, 0.5]])
    ranks = torch.tensor([1.0, 0.0, 3.0, 2.0])
    weighed = HardNegative(ratio=1.0).weigh(ranks, batch_of(labels, shares), MOMENT)
    assert weighed.count.tolist() == [0, 1, 1, 0]


def test_several_negative_classes():
    labels = torch.tensor([0, 1, 2, 3])
    assert kept(torch.arange(4.0), labels, ratio=1.0, negative_classes=[0, 1, 2]) == [0, 0, 1, 1]


IDS = torch.tensor([2, 3, 5, 7, 11, 13, 17, 18, 19])  # dataset ids, not positions
LABELS = torch.zeros(20, dtype=torch.long)
LABELS[[3, 13, 1]] = torch.tensor([1, 2, 1])  # id 1 is not in the training split


def epoch(number=0):
    return Epoch(number=number, total=4, batch_size=2, seed=0, ids=IDS, labels=LABELS)


MARGINS = {2: 0.3, 5: -0.1, 7: 0.9, 11: 0.5, 17: 0.0, 18: -0.5, 19: 0.1}


def scan(ids):
    return torch.tensor([MARGINS[i] for i in ids.tolist()])


def test_bootstrap_starts_balanced_and_adds_the_most_wrong():
    """Two positives and two random negatives; then at most 2 · ratio of the misclassified ones."""
    miner = HardNegative(mode="bootstrap", ratio=1.0)
    assert (miner.score, miner.pooled) == ("margin", False)
    miner.refresh(epoch(0), pytest.fail)
    first = miner.pool.tolist()
    assert first[:2] == [3, 13]
    assert len(set(first)) == 4
    assert set(first[2:]) < set(MARGINS)
    miner.refresh(epoch(1), scan)
    outside = sorted(set(MARGINS) - set(first), key=lambda i: -MARGINS[i])
    assert miner.pool.tolist() == first + [i for i in outside if MARGINS[i] > 0][:2]
    for number in (2, 3):
        miner.refresh(epoch(number), scan)
    assert sorted(miner.pool.tolist()) == sorted({3, 13, 2, 7, 11, 19, *first})


def test_bootstrap_trains_on_the_rows_of_the_pool():
    miner = HardNegative(mode="bootstrap")
    assert len(miner.sampler(Plan.of(IDS, 2), epoch())) == 9, "everything while there is no pool"
    miner.refresh(epoch(), pytest.fail)
    plan = miner.sampler(Plan.of(IDS.flip(0), 2), epoch())
    pool = set(miner.pool.tolist())
    assert plan.ids[:, 0].tolist() == [i for i in IDS.flip(0).tolist() if i in pool]
    assert plan.weight.tolist() == plan.count.tolist() == [1] * 4


def test_bootstrap_scans_the_other_negatives_every_k_epochs():
    scans = []
    miner = HardNegative(mode="bootstrap", every=2, warmup_epochs=1)
    for number in range(1, 6):
        miner.refresh(epoch(number), lambda ids, n=number: scans.append(n) or scan(ids))
    assert scans == [3, 5]


def test_bootstrap_with_a_full_pool_does_not_scan():
    miner = HardNegative(mode="bootstrap")
    miner.pool = IDS
    miner.refresh(epoch(1), pytest.fail)
    assert miner.pool is IDS


def test_bootstrap_a_mask_with_a_positive_pixel_is_positive():
    labels = torch.zeros(20, 2, 2, dtype=torch.long)
    labels[5, 0, 1] = 3
    miner = HardNegative(mode="bootstrap", ratio=1.0)
    miner.refresh(replace(epoch(), labels=labels), pytest.fail)
    assert miner.pool[0] == 5
    assert len(miner.pool) == 2
    margins = torch.full((20, 2, 2), -1.0)
    margins[7, 1, 1] = margins[2, 0, 0] = 0.5
    miner.pool = torch.tensor([5, 2])
    miner.refresh(replace(epoch(1), labels=labels), lambda ids: margins[ids])
    assert miner.pool.tolist() == [5, 2, 7]


def test_the_state_is_restored():
    miner, again = HardNegative(mode="bootstrap"), HardNegative(mode="bootstrap")
    miner.refresh(epoch(), pytest.fail)
    again.load_state_dict(miner.state_dict())
    first, second = (m.sampler(Plan.of(IDS, 2), epoch()) for m in (miner, again))
    assert torch.equal(first.ids, second.ids)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.0}, r"mining\.ratio must be in"),
        ({"min_kept": -1}, r"mining\.min_kept"),
        ({"every": 0}, r"mining\.every"),
        ({"negative_classes": [-1]}, r"mining\.negative_classes must be in .*, got \[-1\]"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        HardNegative(**options)


@pytest.mark.parametrize(
    ("classes", "message"),
    [([7], r"\[7\]: none of the labels"), ([0, 1, 2], r"all of the labels"), ([], "none")],
)
def test_negative_classes_that_leave_nothing_to_mine_are_refused(classes, message):
    with pytest.raises(ValueError, match=rf"mining\.negative_classes=.*{message}"):
        HardNegative(negative_classes=classes).prepare(LABELS)


@pytest.mark.parametrize("positives", range(9))
def test_three_to_one_in_each_image_of_eight_anchors(positives):
    """8 in all where negatives run out. torchvision, which counts positives twice, has 11 to 16."""
    labels = torch.zeros(2, 8, dtype=torch.long)
    labels[0, :positives] = 5
    losses = torch.arange(16.0).view(2, 8)
    kept = HardNegative().mask(losses, labels)
    negatives = min(8 - positives, max(1, 3 * positives))
    assert kept[0].sum() == positives + negatives
    assert kept[0, 8 - negatives :].all()  # the hardest, which are the last
    assert kept[1].tolist() == [False] * 7 + [True]  # one of an image without positives
    ranks = losses[0].masked_fill(labels[0] > 0, -torch.inf).argsort(descending=True).argsort()
    theirs = int((labels[0] > 0).sum() + (ranks < 3 * positives).sum())
    assert theirs == (positives + min(8, 3 * positives))
    assert (theirs > 8) == (positives > 2)


def test_the_ratio_may_be_of_the_batch():
    """Two images share 3 negatives for a single positive, which the second has none of."""
    labels = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]])
    losses = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    batch = HardNegative(per="batch").mask(losses, labels)
    assert batch.tolist() == [[True, False, False, False], [False, True, True, True]]
    image = HardNegative().mask(losses, labels)
    assert image.tolist() == [[True, True, True, True], [False, False, False, True]]
