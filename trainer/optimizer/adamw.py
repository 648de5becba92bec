"""AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), algorithm 2."""

import torch
from torch import nn

from trainer.core.ranges import within
from trainer.optimizer.shared.groups import check_betas, fusable, parameter_groups


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay; torch's, fused where it can be."""

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float = 1e-3,
        betas: list[float],
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
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
            fused=fusable(model.parameters()),
        )
