"""Tasks: what a model's outputs and labels mean, and the metrics they give."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.task.base import Task

if TYPE_CHECKING:
    from trainer.task.classification import Classification
    from trainer.task.detection import Detection
    from trainer.task.multilabel import Multilabel
    from trainer.task.regression import Regression
    from trainer.task.segmentation import Segmentation

__getattr__, __dir__ = exports(__name__)
