"""Random elements: torchvision's numbers of each kind, the same in every run with a seed."""

import pytest
import torch
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

from trainer.core.batch import Batch, Elements
from trainer.core.seed import StepId
from trainer.mining.balanced import Balanced

LABELS = torch.tensor([[2, 1, 0, 0, 0, 0, 0, 3], [0, 0, 0, 0, 0, 0, -1, -1], [1] * 7 + [0]])
MOMENT = StepId(seed=0, epoch=0, step=3)


def elements(labels: torch.Tensor) -> Elements:
    """Elements as SSD has them: what is known has a weight, positives count."""
    plain = Batch.of(torch.zeros(len(labels), 1, 1, 1), torch.zeros(len(labels)))
    nothing = torch.zeros(*labels.shape, 4)
    return Elements(
        plain.images,
        labels[:, None],
        plain.shares,
        plain.index,
        weight=(labels >= 0).float(),
        count=(labels > 0).float(),
        boxes=torch.zeros(len(labels), 1, 5),
        matched=torch.full(labels.shape, -1),
        wanted=nothing,
        regions=nothing,
        sizes=(labels.shape[1],),
    )


def kept(miner: Balanced, step_id: StepId = MOMENT) -> torch.Tensor:
    chosen = miner.select(elements(LABELS), lambda _: torch.zeros(0), step_id)
    assert torch.equal(chosen.count > 0, (chosen.weight > 0) & (LABELS > 0))
    return chosen.weight > 0


@pytest.mark.parametrize(("number", "fraction"), [(4, 0.25), (4, 0.5), (6, 0.5), (512, 0.25)])
def test_as_many_of_each_kind_as_torchvision(number, fraction):
    theirs = BalancedPositiveNegativeSampler(number, fraction)(list(LABELS))
    own = kept(Balanced(number=number, positive_fraction=fraction))
    for kind, masks in zip((LABELS > 0, LABELS == 0), theirs, strict=True):
        assert (own & kind).sum(1).tolist() == [int(mask.sum()) for mask in masks]
    assert not own[LABELS < 0].any()


def test_it_is_a_function_of_seed_and_step():
    few = Balanced(number=3)
    assert torch.equal(kept(few), kept(few))
    draws = torch.stack([kept(few, StepId(0, 0, step)) for step in range(400)]).float()
    positive = draws.mean(0)[2, :7]  # at most ⌊3 · 0.25⌋ = 0 of them
    assert positive.max() == 0
    half = torch.stack(
        [kept(Balanced(number=2, positive_fraction=0.5), StepId(0, 0, s)) for s in range(400)]
    )
    assert torch.allclose(half.float().mean(0)[0, [0, 1, 7]], torch.full((3,), 1 / 3), atol=0.08)


@pytest.mark.parametrize(("setting", "value"), [("number", 0), ("positive_fraction", 1.5)])
def test_settings_are_refused(setting, value):
    with pytest.raises(ValueError, match=rf"mining\.{setting}"):
        Balanced(**{setting: value})
