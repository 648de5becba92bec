"""Samplers: which rows make up an epoch, and in what order, before mining."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.sampler.base import Sampler

if TYPE_CHECKING:
    from trainer.sampler.block_shuffle import BlockShuffle
    from trainer.sampler.class_balanced import ClassBalanced
    from trainer.sampler.label_shuffle import LabelShuffle
    from trainer.sampler.oversample import Oversample
    from trainer.sampler.prune import Prune
    from trainer.sampler.repeated_augmentation import RepeatedAugmentation
    from trainer.sampler.sequential import Sequential
    from trainer.sampler.shuffle import Shuffle
    from trainer.sampler.smote import Smote
    from trainer.sampler.trim_hardest import TrimHardest
    from trainer.sampler.undersample import Undersample
    from trainer.sampler.weighted import Weighted

__getattr__, __dir__ = exports(__name__)
