"""Loaders: how a plan becomes batches on the device."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.loader.base import Feed, Loader

if TYPE_CHECKING:
    from trainer.loader.auto import Auto
    from trainer.loader.memory import Memory
    from trainer.loader.stream import Stream

__getattr__, __dir__ = exports(__name__)
