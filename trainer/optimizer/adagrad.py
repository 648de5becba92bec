"""Adagrad (Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html), the diagonal form."""

import torch

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import DecoupledDecay
from trainer.optimizer.shared.groups import Trainable, fusable, parameter_list


class Adagrad(DecoupledDecay, torch.optim.Adagrad):
    """torch's Adagrad, fused where possible. Weight decay is L2, or `decoupled`."""

    def __init__(
        self,
        model: Trainable,
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
        parameters = parameter_list(model)
        super().__init__(
            parameters,
            lr=lr,
            weight_decay=weight_decay,
            decoupled=decoupled,
            decay_bias_norm=decay_bias_norm,
            lr_decay=lr_decay,
            initial_accumulator_value=initial_accumulator_value,
            eps=eps,
            fused=fusable(parameters),
        )
