"""RMSprop (Tieleman and Hinton 2012, lecture 6.5), centred by Graves 2013, eq. 40.

https://www.cs.toronto.edu/~hinton/coursera/lecture6/lec6.pdf, https://arxiv.org/abs/1308.0850
"""

import torch

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import DecoupledDecay
from trainer.optimizer.shared.groups import Trainable


class RMSprop(DecoupledDecay, torch.optim.RMSprop):
    """torch's RMSprop. Weight decay is L2, or `decoupled`."""

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-3,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
    ) -> None:
        within("optimizer.alpha", alpha, "[0, 1)")
        within("optimizer.eps", eps, "[0, inf)")
        within("optimizer.momentum", momentum, "[0, 1)")
        super().__init__(
            model,
            lr=lr,
            weight_decay=weight_decay,
            decoupled=decoupled,
            decay_bias_norm=decay_bias_norm,
            alpha=alpha,
            eps=eps,
            momentum=momentum,
            centered=centered,
        )
