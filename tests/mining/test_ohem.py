from dataclasses import replace

import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mining.base import counted, hardest, keep_count
from trainer.mining.ohem import Ohem

MOMENT = StepId(0, 0, 0)


def batch_of(size: int) -> Batch:
    ones = torch.ones(size)
    ids = torch.arange(size)[:, None]
    return Batch(torch.zeros(size, 1, 2, 2), ids, ones[:, None], ids, ones, ones)


def test_the_hardest_fraction():
    ranks = torch.tensor([0.1, 3.0, 0.5, 2.0])
    weighed = Ohem(keep=0.5).weigh(ranks, batch_of(4), MOMENT)
    assert weighed.weight.tolist() == weighed.count.tolist() == [0, 1, 0, 1]


def test_against_a_slow_loop():
    ranks = torch.randn(50, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    weighed = Ohem(keep=0.3).weigh(ranks, batch_of(50), MOMENT)
    slow = sorted(range(50), key=lambda i: (-ranks[i].item(), i))[:15]
    assert weighed.count.nonzero()[:, 0].tolist() == sorted(slow)


def test_the_threshold_applies_to_the_probability():
    """p_y = 0.9, 0.2, 0.6, 0.4 with threshold 0.5 selects 0.2 and 0.4, and at least min_kept."""
    ranks = 1 - torch.tensor([0.9, 0.2, 0.6, 0.4])
    miner = Ohem(threshold=0.5)
    assert miner.score == "confidence"
    assert miner.weigh(ranks, batch_of(4), MOMENT).count.tolist() == [0, 1, 0, 1]
    three = Ohem(threshold=0.5, min_kept=3).weigh(ranks, batch_of(4), MOMENT)
    assert three.count.tolist() == [0, 1, 1, 1]
    none = Ohem(threshold=0.1).weigh(ranks, batch_of(4), MOMENT)
    assert none.count.tolist() == [0, 1, 0, 0]


def test_pixels_are_selected_individually():
    ranks = torch.arange(8.0).view(2, 2, 2)
    weighed = Ohem(keep=0.25).weigh(ranks, batch_of(2), MOMENT)
    assert weighed.count.flatten().tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


def test_rows_that_do_not_count_are_never_chosen():
    batch = replace(batch_of(4), count=torch.tensor([1.0, 0, 1, 1]))
    ranks = torch.tensor([1.0, 9, 2, 3])
    assert hardest(ranks, counted(ranks, batch), 2).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("number", "keep", "least", "expected"),
    [(64, 0.25, 1, 16), (10, 0.25, 1, 3), (3, 0.1, 1, 1), (3, 0.1, 2, 2), (2, 1.0, 5, 2)],
)
def test_the_number_kept(number, keep, least, expected):
    assert keep_count(number, keep, least) == expected


def test_of_boxes_each_image_keeps_its_own_hardest():
    """Losses [B, E]: the paper's rule; mining.per=batch lets one image have them all."""
    losses = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    assert Ohem(keep=0.5).mask(losses).tolist() == [[False, False, True, True]] * 2
    assert Ohem(keep=0.5, per="batch").mask(losses).tolist() == [[False] * 4, [True] * 4]
    known = torch.tensor([[True, True, False, False], [True] * 4])
    kept = Ohem(keep=0.5).mask(losses, known)
    assert kept.tolist() == [[False, True, False, False], [False, False, True, True]]


def test_of_pixels_each_mask_may_keep_its_own_hardest():
    losses = torch.arange(16.0).view(2, 2, 4)
    assert Ohem(keep=0.25, per="image").mask(losses).flatten(1).sum(1).tolist() == [2, 2]
    assert Ohem(keep=0.25).mask(losses).flatten(1).sum(1).tolist() == [0, 4]


def test_of_regions_the_papers_rule_is_not_mmdets():
    """Both choose 2 of 4. The paper's by class and box loss together, without a ratio.

    mmdet's sampler ranks positives and negatives apart, by the loss of the class alone, and takes
    at most ⌊2 · 0.5⌋ positives.
    """
    of_class = torch.tensor([[3.0, 1, 2, 0]])
    of_box = torch.tensor([[0.0, 3, 0, 0]])
    positive = torch.tensor([[True, True, False, False]])
    paper = Ohem(keep=0.5).mask(of_class + of_box)
    assert paper.tolist() == [[True, True, False, False]]
    first = hardest(of_class, positive, 1, by_image=True)
    mmdet = first | hardest(of_class, ~positive, 2 - first.sum(1), by_image=True)
    assert mmdet.tolist() == [[True, False, True, False]]
