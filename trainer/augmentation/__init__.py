"""Augmentations: batched on the device, each image with its own random parameters."""

from trainer.augmentation.base import Augmentation

__all__ = ["Augmentation"]
