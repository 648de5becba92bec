"""No mining: every example counts the same."""

from trainer.mining.base import Miner


class NoMiner(Miner):
    """All hooks do nothing."""
