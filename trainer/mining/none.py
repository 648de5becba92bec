"""No mining: every example counts equally."""

from trainer.mining.base import EVERY, Miner


class NoMiner(Miner):
    """Leaves plans and batches unchanged."""

    targets = EVERY
