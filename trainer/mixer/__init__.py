"""Mixers: blend the images of a batch with each other, and their labels with them."""

from typing import TYPE_CHECKING

from trainer.core.batch import Batch, Target
from trainer.core.lazy import exports
from trainer.mixer.base import Mixer

if TYPE_CHECKING:
    from trainer.mixer.chain import Chain
    from trainer.mixer.cutmix import Cutmix
    from trainer.mixer.mixup import Mixup
    from trainer.mixer.none import NoMixer
    from trainer.mixer.random_choice import RandomChoice
    from trainer.mixer.ricap import Ricap

__getattr__, __dir__ = exports(__name__)
