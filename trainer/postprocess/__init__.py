"""Postprocessing: what is fitted on val after training and applied to the outputs."""

from trainer.postprocess.base import Postprocess

__all__ = ["Postprocess"]
