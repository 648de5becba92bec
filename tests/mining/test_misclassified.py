import pytest
import torch

from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.mining.base import Epoch
from trainer.mining.misclassified import Misclassified
from trainer.sampler.shuffle import Shuffle
from trainer.training.planner import Planner

IDS = torch.tensor([2, 3, 5, 7, 11, 13])  # dataset ids, not positions
WRONG = torch.tensor([0.0, 1, 0, 1, 1, 0])
CONFIDENCE = 1 - torch.tensor([0.9, 0.2, 0.5, 0.4, 0.1, 0.6])  # ranks are 1 − p_y


def epoch(number=1):
    return Epoch(
        number=number, total=4, batch_size=2, seed=0, ids=IDS, labels=torch.zeros(20).long()
    )


def refreshed(ranks, **options) -> Misclassified:
    miner = Misclassified(**options)
    miner.refresh(epoch(), lambda ids: ranks)
    return miner


def test_misclassified_examples_are_selected_by_dataset_id():
    miner = refreshed(WRONG)
    assert miner.score == "error"
    assert miner.selected.tolist() == [3, 7, 11]


def test_the_threshold_applies_to_the_probability():
    """p_y = 0.9, 0.2, 0.5, 0.4, 0.1, 0.6: below 0.5 are 0.2, 0.4 and 0.1, not 0.5 itself."""
    miner = refreshed(CONFIDENCE, threshold=0.5)
    assert miner.score == "confidence"
    assert miner.selected.tolist() == [3, 7, 11]
    assert refreshed(CONFIDENCE, threshold=0.15).selected.tolist() == [11]


def test_a_mask_is_wrong_if_any_pixel_is():
    ranks = torch.zeros(6, 2, 2)
    ranks[1, 0, 1] = ranks[5, 1, 1] = 1
    assert refreshed(ranks).selected.tolist() == [3, 13]


def test_the_rows_of_any_sampler_keep_their_order():
    """Repeats and weights are kept, and a SMOTE row counts by its dominant example."""
    ids = torch.tensor([[7, 2], [2, 7], [7, 2], [13, 11], [3, 2]])
    shares = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.3, 0.7], [1.0, 0.0]])
    plan = Plan.of(ids, 2, shares).weighted(torch.arange(5.0))
    rows = refreshed(WRONG).sampler(plan, epoch())
    assert rows.ids.tolist() == [[7, 2], [7, 2], [13, 11], [3, 2]]
    assert rows.weight.tolist() == [0, 2, 3, 4]
    assert rows.bounds.tolist() == [0, 2, 4]


def test_scans_every_k_epochs_after_the_warmup():
    scans = []
    miner = Misclassified(every=2, warmup_epochs=1)
    for number in range(1, 6):
        miner.refresh(epoch(number), lambda ids, n=number: scans.append(n) or torch.zeros(6))
    assert scans == [1, 3, 5], "an empty selection is not scanned again"


def planner(miner, warnings) -> Planner:
    split = Split(None, torch.zeros(20).long(), IDS)
    return Planner(split, Shuffle(), miner, 0, 2, 4, warnings.append)


def test_an_empty_selection_falls_back_with_a_warning():
    warnings = []
    made = planner(Misclassified(warmup_epochs=1), warnings)
    assert len(made.plan(0)) == 6
    assert warnings == []
    made.refresh(1, lambda ids: torch.zeros(6))
    assert sorted(made.plan(1).ids[:, 0].tolist()) == IDS.tolist()
    (warning,) = warnings
    assert "epoch 1" in warning
    made.refresh(2, lambda ids: WRONG)
    assert sorted(made.plan(2).ids[:, 0].tolist()) == [3, 7, 11]
    assert len(warnings) == 1


def test_the_state_is_restored():
    miner, again = refreshed(WRONG), Misclassified()
    assert torch.equal(again.sampler(Plan.of(IDS, 2), epoch()).ids[:, 0], IDS), (
        "everything before the first scan"
    )
    again.load_state_dict(miner.state_dict())
    first, second = (m.sampler(Plan.of(IDS, 2), epoch()) for m in (miner, again))
    assert torch.equal(first.ids, second.ids)


@pytest.mark.parametrize(
    ("option", "value"), [("threshold", 0.0), ("threshold", 1.5), ("every", 0)]
)
def test_bad_settings_are_named(option, value):
    with pytest.raises(ValueError, match=rf"mining\.{option} must be in .*, got {value}"):
        Misclassified(**{option: value})
