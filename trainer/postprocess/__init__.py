"""Postprocessing: fitted on the validation outputs after training, applied to all outputs."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.postprocess.base import Postprocess

if TYPE_CHECKING:
    from trainer.postprocess.isotonic import Isotonic
    from trainer.postprocess.none import NoPostprocess
    from trainer.postprocess.platt import Platt
    from trainer.postprocess.prior_correction import PriorCorrection
    from trainer.postprocess.temperature import Temperature
    from trainer.postprocess.threshold import Threshold

__getattr__, __dir__ = exports(__name__)
