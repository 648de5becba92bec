"""No mining: trains on every example alike."""

from trainer.mining.base import Miner


class NoMiner(Miner):
    """Leaves plans and batches unchanged."""
