"""Initialisation and gradient health, layer by layer."""

from trainer.job.diagnose.job import Diagnose

__all__ = ["Diagnose"]
