"""Mixers: batches whose images are blends of several examples."""

from trainer.core.batch import Target
from trainer.mixer.base import Mixer

__all__ = ["Mixer", "Target"]
