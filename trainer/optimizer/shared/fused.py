"""torch's fused kernels, called without what torch does around them, which takes as long again."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from trainer.optimizer.shared.eager import Eager, take_step


class FusedStep(Eager):
    """Mixin, listed before one of torch's optimizers: calls its fused kernel for each group.

    torch takes a step itself if it has a closure or hooks, if weights differ in device or dtype, or
    if one has no state yet. The results are the same.
    """

    stateful = True  # whether a weight's first step makes its state

    @abstractmethod
    def kernel(
        self,
        group: dict[str, Any],
        weights: list[Tensor],
        states: list[dict[str, Tensor]],
        scaling: dict[str, Tensor | None],
    ) -> None:
        """Take the step of one group's weights. `scaling` has `grad_scale` and `found_inf`."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step."""
        groups = self.param_groups
        trained = [[w for w in group["params"] if w.grad is not None] for group in groups]
        if closure is not None or self.hooks() or not self.alike(trained):
            return self.step_of_torch(closure)
        scaling = {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        with torch.no_grad():
            for group, weights in zip(groups, trained, strict=True):
                self.kernel(group, weights, [self.state.get(w, {}) for w in weights], scaling)
        return None

    step.hooked = True  # pyright: ignore  # torch's wrapper takes half the kernel's time

    @Optimizer.profile_hook_step
    def step_of_torch(self, closure: Callable[[], Any] | None) -> Any:
        """Take a step as torch does, with its hooks."""
        return take_step(super().step, closure)

    def hooks(self) -> bool:
        """Return whether anything is to be called before or after a step."""
        return bool(
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
        )

    def alike(self, trained: list[list[Tensor]]) -> bool:
        """Return whether one kernel serves each group of weights."""
        if not (all(trained) and all(group["fused"] for group in self.param_groups)):
            return False
        device, dtype = trained[0][0].device, trained[0][0].dtype
        return all(
            w.device == device and w.dtype == dtype and (w in self.state or not self.stateful)
            for weights in trained
            for w in weights
        )
