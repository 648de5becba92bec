"""Losses: unreduced, one value per example or pixel; `mean_loss` reduces them."""

from typing import TYPE_CHECKING

from trainer.core.batch import contract, mean_loss, spread
from trainer.core.lazy import exports
from trainer.loss.base import Loss

if TYPE_CHECKING:
    from trainer.loss.bce import BinaryCrossEntropy
    from trainer.loss.cross_entropy import CrossEntropy
    from trainer.loss.dice import Dice
    from trainer.loss.dice_cross_entropy import DiceCrossEntropy
    from trainer.loss.focal import Focal
    from trainer.loss.function import Function
    from trainer.loss.ghm import Ghm
    from trainer.loss.huber import Huber
    from trainer.loss.l1 import L1
    from trainer.loss.label_smoothing import LabelSmoothing
    from trainer.loss.logit_adjusted import LogitAdjusted
    from trainer.loss.mse import MeanSquaredError
    from trainer.loss.poly1 import Poly1
    from trainer.loss.smooth_l1 import SmoothL1
    from trainer.loss.sobolev import Sobolev
    from trainer.loss.superloss import SuperLoss

__all__ = [
    "L1",
    "BinaryCrossEntropy",
    "CrossEntropy",
    "Dice",
    "DiceCrossEntropy",
    "Focal",
    "Function",
    "Ghm",
    "Huber",
    "LabelSmoothing",
    "LogitAdjusted",
    "Loss",
    "MeanSquaredError",
    "Poly1",
    "SmoothL1",
    "Sobolev",
    "SuperLoss",
    "contract",
    "mean_loss",
    "spread",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "BinaryCrossEntropy": "bce",
        "CrossEntropy": "cross_entropy",
        "Dice": "dice",
        "DiceCrossEntropy": "dice_cross_entropy",
        "Focal": "focal",
        "Function": "function",
        "Ghm": "ghm",
        "Huber": "huber",
        "L1": "l1",
        "LabelSmoothing": "label_smoothing",
        "LogitAdjusted": "logit_adjusted",
        "MeanSquaredError": "mse",
        "Poly1": "poly1",
        "SmoothL1": "smooth_l1",
        "Sobolev": "sobolev",
        "SuperLoss": "superloss",
    },
)
