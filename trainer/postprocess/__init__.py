"""Postprocessing: fitted on the validation outputs after training, applied to all outputs."""

from trainer.postprocess.base import Postprocess

__all__ = ["Postprocess"]
