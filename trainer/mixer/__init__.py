"""Mixers: batches whose images are blends of several examples."""

from trainer.mixer.base import Mixer

__all__ = ["Mixer"]
