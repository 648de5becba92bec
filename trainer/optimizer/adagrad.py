"""Adagrad (Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html), the diagonal form."""

import torch
from torch import nn

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import DecoupledDecay
from trainer.optimizer.shared.groups import fusable, parameter_groups


class Adagrad(DecoupledDecay, torch.optim.Adagrad):
    """torch's, fused where it can be; weight decay as L2 or `decoupled`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
    ) -> None:
        within("optimizer.lr_decay", lr_decay, "[0, inf)")
        within("optimizer.initial_accumulator_value", initial_accumulator_value, "[0, inf)")
        within("optimizer.eps", eps, "[0, inf)")
        super().__init__(
            parameter_groups(
                model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
            ),
            lr=lr,
            lr_decay=lr_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            fused=fusable(model.parameters()),
        )
        if decoupled:
            self.decouple()
