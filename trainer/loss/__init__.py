"""Losses: unreduced, one value per example or pixel; `mean_loss` reduces them."""

from typing import TYPE_CHECKING

from trainer.core.batch import contract, mean_loss, spread
from trainer.core.lazy import exports
from trainer.loss.base import Loss

if TYPE_CHECKING:
    from trainer.loss.asymmetric import Asymmetric
    from trainer.loss.bce import BinaryCrossEntropy
    from trainer.loss.cross_entropy import CrossEntropy
    from trainer.loss.dice import Dice
    from trainer.loss.dice_cross_entropy import DiceCrossEntropy
    from trainer.loss.elr import Elr
    from trainer.loss.focal import Focal
    from trainer.loss.function import Function
    from trainer.loss.gce import Gce
    from trainer.loss.ghm import Ghm
    from trainer.loss.huber import Huber
    from trainer.loss.l1 import L1
    from trainer.loss.label_smoothing import LabelSmoothing
    from trainer.loss.logit_adjusted import LogitAdjusted
    from trainer.loss.mse import MeanSquaredError
    from trainer.loss.poly1 import Poly1
    from trainer.loss.sce import Sce
    from trainer.loss.smooth_l1 import SmoothL1
    from trainer.loss.sobolev import Sobolev
    from trainer.loss.superloss import SuperLoss

__getattr__, __dir__ = exports(__name__)
