"""Mining: which examples are trained on, and how much each counts."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.mining.base import Epoch, Miner

if TYPE_CHECKING:
    from trainer.mining.balanced import Balanced
    from trainer.mining.hard_example import HardExample
    from trainer.mining.hard_negative import HardNegative
    from trainer.mining.importance import Importance
    from trainer.mining.infobatch import InfoBatch
    from trainer.mining.misclassified import Misclassified
    from trainer.mining.none import NoMiner
    from trainer.mining.ohem import Ohem
    from trainer.mining.ohem_two_pass import OhemTwoPass
    from trainer.mining.random import Random
    from trainer.mining.reweight import Reweight
    from trainer.mining.rho import Rho
    from trainer.mining.rs2 import Rs2
    from trainer.mining.selective_backprop import SelectiveBackprop
    from trainer.mining.self_paced import SelfPaced
    from trainer.mining.small_loss import SmallLoss

__getattr__, __dir__ = exports(__name__)
