"""Augmentations: batched on the device, each image with its own random parameters."""

from typing import TYPE_CHECKING

from trainer.augmentation.base import Augmentation, Geometric
from trainer.core.lazy import exports

if TYPE_CHECKING:
    from trainer.augmentation.affine import Affine
    from trainer.augmentation.augmix import Augmix
    from trainer.augmentation.auto_augment import AutoAugment
    from trainer.augmentation.color_jitter import ColorJitter
    from trainer.augmentation.cutout import Cutout
    from trainer.augmentation.eda import Eda
    from trainer.augmentation.gaussian_blur import GaussianBlur
    from trainer.augmentation.gaussian_noise import GaussianNoise
    from trainer.augmentation.horizontal_flip import HorizontalFlip
    from trainer.augmentation.none import NoAugmentation
    from trainer.augmentation.pca_jitter import PcaJitter
    from trainer.augmentation.rand_augment import RandAugment
    from trainer.augmentation.random_crop import RandomCrop
    from trainer.augmentation.random_deletion import RandomDeletion
    from trainer.augmentation.random_erasing import RandomErasing
    from trainer.augmentation.random_insertion import RandomInsertion
    from trainer.augmentation.random_resized_crop import RandomResizedCrop
    from trainer.augmentation.random_scale import RandomScale
    from trainer.augmentation.random_swap import RandomSwap
    from trainer.augmentation.rotate import Rotate
    from trainer.augmentation.scale_jitter import ScaleJitter
    from trainer.augmentation.shift import Shift
    from trainer.augmentation.synonym_replacement import SynonymReplacement
    from trainer.augmentation.trivial_augment import TrivialAugment
    from trainer.augmentation.vertical_flip import VerticalFlip

__getattr__, __dir__ = exports(__name__)
