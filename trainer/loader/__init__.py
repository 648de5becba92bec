"""Loaders: how a plan becomes batches on the device."""

from trainer.loader.base import Feed, Loader

__all__ = ["Feed", "Loader"]
