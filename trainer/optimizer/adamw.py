"""AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101), algorithm 2."""

from collections.abc import Sequence

from trainer.optimizer.adam import Adam
from trainer.optimizer.shared.groups import Trainable


class AdamW(Adam):
    """torch's Adam with decoupled weight decay, fused where possible."""

    def __init__(
        self,
        model: Trainable,
        *,
        lr: float = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        decay_bias_norm: bool = False,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(
            model,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled=True,
            decay_bias_norm=decay_bias_norm,
            amsgrad=amsgrad,
        )
