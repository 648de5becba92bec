"""Cyclical learning rates (Smith 2017, https://arxiv.org/abs/1506.01186); torch's CyclicLR."""

from typing import Literal

from trainer.core.duration import Clock, Duration, from_clock, in_units, positive, ratio, whole
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Cyclic(Schedule):
    """Triangles: linear from `base_lr` up to `max_lr` and back, repeatedly.

    Their height is constant (`triangular`), halves each cycle (`triangular2`), or is multiplied by
    γ each step (`exp_range`). `max_lr` defaults to the optimizer's rate, `base_lr` to a quarter of
    `max_lr`. With `cycle_momentum` the momentum falls as lr rises.
    """

    up: float = from_clock()  # the sides of a triangle in steps
    down: float = from_clock()

    def __init__(
        self,
        *,
        base_lr: float | None = None,
        max_lr: float | None = None,
        step_size_up: Duration = "2ep",
        step_size_down: Duration | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        cycle_momentum: bool = False,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        down = step_size_up if step_size_down is None else step_size_down
        self.step_sizes = in_units(step_size_up), in_units(down)
        positive(self.step_sizes[0], "schedule.step_size_up")
        positive(self.step_sizes[1], "schedule.step_size_down")
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
        self.mode = mode
        self.gamma = gamma
        self.momenta = (base_momentum, max_momentum) if cycle_momentum else None

    def bind(self, clock: Clock) -> None:
        """Convert the sides of a triangle to steps."""
        self.up, self.down = (clock.steps(size) for size in self.step_sizes)

    def height(self, t: float) -> float:
        """The height of the triangle at step t, from the lower rate (0) to the upper one (1)."""
        cycle = whole(ratio(t, self.up + self.down))
        since = max(t - cycle * (self.up + self.down), 0.0)
        rising = since <= self.up
        height = ratio(since, self.up) if rising else 1 - ratio(since - self.up, self.down)
        if self.mode == "triangular2":
            return height * 0.5**cycle
        return height * self.gamma**t if self.mode == "exp_range" else height

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        high = base if self.max_lr is None else self.max_lr
        low = high / 4 if self.base_lr is None else self.base_lr
        return low + (high - low) * self.height(t)

    def momentum(self, t: float) -> float | None:
        """The momentum at step t; None keeps the optimizer's."""
        if self.momenta is None:
            return None
        low, high = self.momenta
        return high - (high - low) * self.height(t)
