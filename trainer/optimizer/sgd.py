"""Stochastic gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013)."""

import torch
from torch import nn

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import DecoupledDecay
from trainer.optimizer.shared.groups import fusable, parameter_groups


class Sgd(DecoupledDecay, torch.optim.SGD):
    """torch's, fused where it can be; weight decay as L2 or `decoupled`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
    ) -> None:
        within("optimizer.momentum", momentum, "[0, 1)")
        if nesterov and not momentum:
            raise ValueError("optimizer.nesterov=true needs optimizer.momentum above 0")
        super().__init__(
            parameter_groups(
                model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
            ),
            lr=lr,
            momentum=momentum,
            nesterov=nesterov,
            fused=fusable(model.parameters()),
        )
        if decoupled:
            self.decouple()
        if momentum:
            self.begin_momentum()

    def begin_momentum(self) -> None:
        """Momentum 0 from the start, which is what torch's first step amounts to.

        torch's fused one leaves it uninitialised where its first step is masked, and fails where
        some weights take their first step later than others.
        """
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
