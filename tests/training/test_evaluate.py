"""Evaluating a split in batches gives the same metrics as evaluating it at once."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.forward import Forward
from trainer.dataset.shared.split import Pixels, Split
from trainer.loader.memory import Memory
from trainer.loss import Loss
from trainer.loss.cross_entropy import CrossEntropy
from trainer.loss.dice import Dice
from trainer.loss.mse import MeanSquaredError
from trainer.task import Task
from trainer.task.classification import Classification
from trainer.task.regression import Regression
from trainer.task.segmentation import Segmentation
from trainer.training.evaluate import Evaluator

CPU = torch.device("cpu")
RNG = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (7, 1, 4, 4), generator=RNG, dtype=torch.uint8)
MASKS = torch.randint(0, 3, (7, 4, 4), generator=RNG)
MASKS[torch.rand(7, 4, 4, generator=RNG) < 0.3] = 255
MASKS[4] = 255
CLASSES = torch.arange(7) % 3
NUMBERS = torch.rand(7, generator=RNG)
WEIGHTS = [1.0, 4.0, 0.5]


def evaluator(task: Task, loss: Loss, size: int, *, maps: bool) -> Evaluator:
    torch.manual_seed(0)
    last = nn.Conv2d(1, 3, 3, padding=1) if maps else nn.Linear(16, 3)
    if isinstance(task, Regression):
        last = nn.Linear(16, 1)
    model = nn.Sequential(nn.Identity() if maps else nn.Flatten(), last)
    loss.ignore_index = task.ignore_index
    loss.prepare(torch.ones(3))
    return Evaluator(Forward(model, mean=(0.5,), std=(0.2,), device=CPU), task, loss, size)


def evaluated(task: Task, loss: Loss, labels: Tensor, size: int = 3, ids: Tensor | None = None):
    split = Split(Pixels(IMAGES), labels, torch.arange(7) if ids is None else ids)
    made = evaluator(task, loss, size, maps=labels.ndim == 3)
    return made(Memory().open(split, CPU), split)


def outputs_of(images: Tensor = IMAGES, *, maps: bool) -> Tensor:
    made = evaluator(Segmentation(), CrossEntropy(), 1, maps=maps).forward
    with torch.no_grad():
        return made(made.standardise(made.unit(images)))


CASES = {
    "classes": (Classification, lambda: CrossEntropy(class_weights=WEIGHTS), CLASSES),
    "masks": (Segmentation, lambda: CrossEntropy(class_weights=WEIGHTS), MASKS),
    "dice": (Segmentation, lambda: Dice(batch=True), MASKS),
    "numbers": (Regression, MeanSquaredError, NUMBERS),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_how_a_split_is_cut_changes_nothing(case, size):
    task, loss, labels = CASES[case]
    whole, cut = (evaluated(task(), loss(), labels, s) for s in (7, size))
    assert cut.metrics == pytest.approx(whole.metrics, rel=1e-5)
    assert cut.records.keys() == whole.records.keys()
    for name, values in cut.records.items():
        assert len(values) == 7
        torch.testing.assert_close(values, whole.records[name], equal_nan=True)


def test_the_loss_of_masks_is_torchs_over_all_pixels():
    """Not a mean over batches or images, which differ in their number of counted pixels."""
    evaluation = evaluated(Segmentation(), CrossEntropy(class_weights=WEIGHTS), MASKS)
    outputs, weights = outputs_of(maps=True), torch.tensor(WEIGHTS)
    expected = F.cross_entropy(outputs, MASKS, weights, ignore_index=255)
    assert evaluation.metrics["loss"] == pytest.approx(expected.item(), rel=1e-5)
    each = [F.cross_entropy(outputs[[i]], MASKS[[i]], weights, ignore_index=255) for i in range(7)]
    each[4] = torch.zeros(())  # no pixel of it counts
    torch.testing.assert_close(evaluation.records["loss"], torch.stack(each))
    assert evaluation.metrics["loss"] != pytest.approx(torch.stack(each).mean().item(), rel=1e-3)


def test_numbers_are_compared_with_outputs_of_one():
    """[B] and [B, 1] would broadcast to [B, B]."""
    evaluation = evaluated(Regression(), MeanSquaredError(), NUMBERS)
    expected = (evaluation.outputs[:, 0] - NUMBERS).square().mean().item()
    assert evaluation.metrics["loss"] == pytest.approx(expected, rel=1e-5)
    assert evaluation.metrics["mse"] == pytest.approx(expected, rel=1e-5)


def test_maps_are_not_kept_and_logits_are():
    masks = evaluated(Segmentation(), CrossEntropy(), MASKS)
    assert masks.outputs.shape == (0,)
    ids = torch.tensor([5, 0, 3])
    some = evaluated(Classification(), CrossEntropy(), CLASSES, 2, ids)
    torch.testing.assert_close(some.outputs, outputs_of(maps=False)[ids])
    assert some.ids.tolist() == [5, 0, 3]


def test_other_outputs_are_judged_alike():
    first = evaluated(Classification(), CrossEntropy(class_weights=WEIGHTS), CLASSES)
    made = evaluator(Classification(), CrossEntropy(class_weights=WEIGHTS), 3, maps=False)
    again = made.judge(first.ids, first.outputs, CLASSES)
    assert again.metrics == pytest.approx(first.metrics)
    assert "total_loss" not in again.records


def test_a_split_in_which_nothing_counts_has_no_loss():
    metrics = evaluated(Segmentation(), CrossEntropy(), torch.full((7, 4, 4), 255)).metrics
    assert math.isnan(metrics["loss"])


def test_the_mode_of_the_model_is_left_and_each_batch_is_polled():
    made = evaluator(Classification(), CrossEntropy(), 3, maps=False)
    split = Split(Pixels(IMAGES), CLASSES, torch.arange(7))
    feed, polls = Memory().open(split, CPU), []
    made(feed, split, poll=lambda: polls.append(made.forward.model.training))
    assert polls == [False] * 2, "7 = 3 + 4: a batch of one joins the one before it"
    assert made.forward.model.training
    assert made.loss.training
    some = replace(split, ids=torch.tensor([6]))
    assert len(made(feed, some).records["loss"]) == 1
