"""Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), algorithm 1."""

from collections.abc import Sequence

import torch

from trainer.core.ranges import within
from trainer.optimizer.shared.groups import (
    Trainable,
    check_betas,
    fusable,
    parameter_groups,
    parameter_list,
)


class Adam(torch.optim.Adam):
    """torch's Adam, fused where possible. Weight decay is L2, or `decoupled`, which is AdamW."""

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
        amsgrad: bool = False,
    ) -> None:
        within("optimizer.eps", eps, "[0, inf)")
        parameters = parameter_list(model)
        super().__init__(
            parameter_groups(
                parameters, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
            ),
            lr=lr,
            betas=check_betas(betas),
            eps=eps,
            amsgrad=amsgrad,
            decoupled_weight_decay=decoupled,
            fused=fusable(parameters),
        )
