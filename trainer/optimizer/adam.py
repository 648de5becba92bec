"""Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), algorithm 1."""

import torch
from torch import nn

from trainer.core.ranges import within
from trainer.optimizer.shared.groups import check_betas, fusable, parameter_groups


class Adam(torch.optim.Adam):
    """torch's, fused where it can be; weight decay as L2 or `decoupled`, which is AdamW."""

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-3,
        betas: list[float],
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
        decay_bias_norm: bool = False,
        amsgrad: bool = False,
    ) -> None:
        check_betas(betas)
        within("optimizer.eps", eps, "[0, inf)")
        super().__init__(
            parameter_groups(
                model, lr=lr, weight_decay=weight_decay, decay_bias_norm=decay_bias_norm
            ),
            lr=lr,
            betas=(betas[0], betas[1]),
            eps=eps,
            amsgrad=amsgrad,
            decoupled_weight_decay=decoupled,
            fused=fusable(model.parameters()),
        )
