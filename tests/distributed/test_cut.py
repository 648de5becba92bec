"""What one of several processes has its loader cut: the rows that it fetches, where they lie."""

import torch

from trainer.augmentation.random_resized_crop import RandomResizedCrop
from trainer.augmentation.shared.taken import Taken
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.distributed.step import ParallelStep
from trainer.mixer.base import Drawing
from trainer.training.part import Part
from trainer.training.step import Step


def test_the_pieces_are_those_of_the_fetched_rows() -> None:
    """Of batches of 4 rows, process 1 fetches rows 2 and 3, and a partner."""
    plan = Plan.of(torch.arange(8), 4)
    fetched = [torch.tensor([2, 3, 0]), torch.tensor([2, 3, 1])]
    parts = [Part([2, 2], rows, 2, Drawing([])) for rows in fetched]
    step = ParallelStep.__new__(ParallelStep)
    step.augmentation = [Taken(RandomResizedCrop(size=2))]
    cut = step.cut(plan, StepId(3, 5, 10), parts)
    assert cut is not None
    assert cut.of_step(1).positions == [6, 7, 5]
    alone = Step.__new__(Step)
    alone.augmentation = step.augmentation
    own = alone.cut(plan, StepId(3, 5, 10))
    assert own is not None
    assert own.of_step(1).positions == [4, 5, 6, 7]
    every = own.of_step(1).windows([(9, 8)] * 4)
    assert cut.of_step(1).windows([(9, 8)] * 3) == [every[2], every[3], every[1]]
