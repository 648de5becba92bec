"""Mining: which examples are trained on, and how much each counts."""

from trainer.mining.base import Epoch, Miner

__all__ = ["Epoch", "Miner"]
