"""Cyclical learning rates (Smith 2017, https://arxiv.org/abs/1506.01186); torch's CyclicLR."""

from typing import Literal

from trainer.core.duration import Clock, positive, ratio, whole
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Cyclic(Schedule):
    """Linear from `base_lr` to `max_lr` and back, each step, over and over.

    The height of the triangles stays (`triangular`), halves from cycle to cycle (`triangular2`), or
    is multiplied by γ each step (`exp_range`). Without `max_lr` that is the optimizer's rate,
    without `base_lr` it is a quarter of it. With `cycle_momentum` the momentum falls as lr rises.
    """

    def __init__(
        self,
        *,
        base_lr: float | None = None,
        max_lr: float | None = None,
        step_size_up: str = "2ep",
        step_size_down: str | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        cycle_momentum: bool = False,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        positive(step_size_up, "schedule.step_size_up")
        if step_size_down is not None:
            positive(step_size_down, "schedule.step_size_down")
        if base_lr is not None:
            within("schedule.base_lr", base_lr, "[0, inf)")
        if max_lr is not None:
            least = "(0" if base_lr is None else f"[{base_lr}"
            within("schedule.max_lr", max_lr, f"{least}, inf)")
        within("schedule.gamma", gamma, "(0, inf)")
        within("schedule.base_momentum", base_momentum, "[0, 1)")
        within("schedule.max_momentum", max_momentum, "[0, 1)")
        self.base_lr = base_lr
        self.max_lr = max_lr
        self.step_sizes = step_size_up, step_size_down or step_size_up
        self.mode = mode
        self.gamma = gamma
        self.momenta = (base_momentum, max_momentum) if cycle_momentum else None

    def bind(self, clock: Clock) -> None:
        """The sides of the triangle in steps."""
        self.up, self.down = (clock.steps(size) for size in self.step_sizes)

    def height(self, t: float) -> float:
        """Where between the lower and the upper rate step t is."""
        cycle = whole(ratio(t, self.up + self.down))
        since = max(t - cycle * (self.up + self.down), 0.0)
        rising = since <= self.up
        height = ratio(since, self.up) if rising else 1 - ratio(since - self.up, self.down)
        if self.mode == "triangular2":
            return height * 0.5**cycle
        return height * self.gamma**t if self.mode == "exp_range" else height

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        high = base if self.max_lr is None else self.max_lr
        low = high / 4 if self.base_lr is None else self.base_lr
        return low + (high - low) * self.height(t)

    def momentum(self, t: float) -> float | None:
        """The momentum at step t, or the optimizer's own."""
        if self.momenta is None:
            return None
        low, high = self.momenta
        return high - (high - low) * self.height(t)
