"""What the batches of a run are made of."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.augmentation import Augmentation
from trainer.dataset import Data, Split
from trainer.loader import Feed
from trainer.mixer import Mixer
from trainer.task import Task
from trainer.training.planner import Planner


@dataclass(frozen=True)
class Inputs:
    """The components between a data set and the model's input."""

    data: Data
    planner: Planner
    full_steps: int  # of an epoch that trains on every example once
    open_feed: Callable[[Split], Feed]
    augmentation: list[Augmentation]
    mixer: Mixer
    task: Task
    seed: int
