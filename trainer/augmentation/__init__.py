"""Augmentations: batched on the device, each image with its own random parameters."""

from trainer.augmentation.base import Augmentation, Geometric

__all__ = ["Augmentation", "Geometric"]
