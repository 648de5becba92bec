"""Mixers: batches whose images are blends of several examples."""

from trainer.mixer.base import Mixer, Target

__all__ = ["Mixer", "Target"]
