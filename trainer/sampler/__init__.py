"""Samplers: the rows of an epoch before any miner sees them."""

from trainer.sampler.base import Sampler

__all__ = ["Sampler"]
