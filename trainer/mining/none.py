"""No mining: every example counts equally."""

from trainer.core.batch import TARGETS
from trainer.mining.base import Miner


class NoMiner(Miner):
    """Leaves plans and batches unchanged."""

    targets = TARGETS
