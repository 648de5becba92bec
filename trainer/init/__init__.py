"""Initialisation schemes for the weights of linear and convolution layers."""

from trainer.init.base import Init

__all__ = ["Init"]
