"""Initialisation schemes for the weights of linear and convolution layers."""

from typing import TYPE_CHECKING

from trainer.core.lazy import exports
from trainer.init.base import Init

if TYPE_CHECKING:
    from trainer.init.constant import Constant
    from trainer.init.default import Default
    from trainer.init.kaiming_normal import KaimingNormal
    from trainer.init.kaiming_uniform import KaimingUniform
    from trainer.init.lsuv import Lsuv
    from trainer.init.normal import Normal
    from trainer.init.orthogonal import Orthogonal
    from trainer.init.trunc_normal import TruncNormal
    from trainer.init.uniform import Uniform
    from trainer.init.xavier_normal import XavierNormal
    from trainer.init.xavier_uniform import XavierUniform
    from trainer.init.zeros import Zeros

__getattr__, __dir__ = exports(__name__)
