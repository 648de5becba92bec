"""Stochastic gradient descent with momentum (Polyak 1964) or Nesterov's (Sutskever et al. 2013)."""

from typing import Any

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.optimizer.shared.decoupled_decay import DecoupledDecay, shrink
from trainer.optimizer.shared.fused import FusedStep
from trainer.optimizer.shared.groups import Trainable, fusable, parameter_list


class Sgd(FusedStep, DecoupledDecay, torch.optim.SGD):
    """torch's SGD, fused where possible. Weight decay is L2, or `decoupled`."""

    stateful = False

    def __init__(
        self,
        model: Trainable,
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
        parameters = parameter_list(model)
        super().__init__(
            parameters,
            lr=lr,
            weight_decay=weight_decay,
            decoupled=decoupled,
            decay_bias_norm=decay_bias_norm,
            momentum=momentum,
            nesterov=nesterov,
            fused=fusable(parameters),
        )
        if momentum:
            self.begin_momentum()

    def begin_momentum(self) -> None:
        """Set the momentum buffers to 0, which gives the same first step as torch's.

        torch's fused kernel leaves them uninitialized if the first step is skipped, and fails if
        some weights take their first step later than others.
        """
        for group in self.param_groups:
            for weight in group["params"]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)

    def kernel(
        self,
        group: dict[str, Any],
        weights: list[Tensor],
        states: list[dict[str, Tensor]],
        scaling: dict[str, Tensor | None],
    ) -> None:
        """Decay one group's weights if that is decoupled, then take their step."""
        shrink(group, group.get("decoupled_decay", 0.0), scaling["found_inf"])
        torch._fused_sgd_(
            weights,
            [w.grad for w in weights],  # pyright: ignore
            [state["momentum_buffer"] for state in states] if group["momentum"] else [],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=False,
            **scaling,
        )
