"""Learning-rate schedules: pure functions of the clock."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.schedule.base import Schedule

if TYPE_CHECKING:
    from trainer.schedule.adjust import Adjust
    from trainer.schedule.constant import Constant
    from trainer.schedule.cosine import Cosine
    from trainer.schedule.cosine_decay import CosineDecay
    from trainer.schedule.cosine_restarts import CosineRestarts
    from trainer.schedule.cyclic import Cyclic
    from trainer.schedule.exponential import Exponential
    from trainer.schedule.exponential_decay import ExponentialDecay
    from trainer.schedule.inverse_time import InverseTime
    from trainer.schedule.lambda_ import Lambda
    from trainer.schedule.linear_cosine import LinearCosine
    from trainer.schedule.multiplicative import Multiplicative
    from trainer.schedule.multistep import Multistep
    from trainer.schedule.natural_exponential import NaturalExponential
    from trainer.schedule.noisy_linear_cosine import NoisyLinearCosine
    from trainer.schedule.one_cycle import OneCycle
    from trainer.schedule.piecewise import Piecewise
    from trainer.schedule.plateau import Plateau
    from trainer.schedule.polynomial import Polynomial
    from trainer.schedule.step import Step
    from trainer.schedule.trapezoid import Trapezoid

__getattr__, __dir__ = exports(__name__)
