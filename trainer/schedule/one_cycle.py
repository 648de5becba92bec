"""One cycle (Smith and Topin 2018, https://arxiv.org/abs/1708.07120); torch's OneCycleLR."""

import math
from typing import Literal

from trainer.core.duration import Clock, Duration, from_clock, in_units, positive
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class OneCycle(Schedule):
    """From max_lr/div_factor up to max_lr, then down to max_lr/div_factor/final_div_factor.

    The peak is at step pct_start·S − 1 and the end at S − 1, S = `total_steps`; then the rate is
    constant. With `three_phase` the descent mirrors the ascent, and a third phase falls to the
    final rate. `max_lr` defaults to the optimizer's rate. With `cycle_momentum` the momentum falls
    as lr rises.
    """

    duration: float = from_clock()  # S in steps
    ends: list[float] = from_clock()  # the last step of each phase

    def __init__(
        self,
        *,
        max_lr: float | None = None,
        total_steps: Duration = "1run",
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = False,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if max_lr is not None:
            within("schedule.max_lr", max_lr, "(0, inf)")
        self.total_steps = in_units(total_steps)
        positive(self.total_steps, "schedule.total_steps")
        within("schedule.pct_start", pct_start, "[0, 0.5]" if three_phase else "[0, 1]")
        within("schedule.base_momentum", base_momentum, "[0, 1)")
        within("schedule.max_momentum", max_momentum, "[0, 1)")
        within("schedule.div_factor", div_factor, "(0, inf)")
        within("schedule.final_div_factor", final_div_factor, "(0, inf)")
        self.max_lr = max_lr
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.momenta = (base_momentum, max_momentum) if cycle_momentum else None
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.three_phase = three_phase

    def bind(self, clock: Clock) -> None:
        """Convert S to steps and compute the steps at which the phases end."""
        self.duration = clock.steps(self.total_steps)
        top, last = self.pct_start * self.duration - 1, self.duration - 1
        self.ends = [top, 2 * top, last] if self.three_phase else [top, last]

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError if the cycle exceeds the run."""
        clock.require(f"schedule.total_steps={self.total_steps}", self.duration)

    def anneal(self, t: float, first: float, top: float, last: float) -> float:
        """The value at step t of a curve from `first` to `top` to `last`."""
        t, start, phase = min(t, self.ends[-1]), 0.0, 0
        while t > self.ends[phase]:
            start = self.ends[phase]
            phase += 1
        duration = self.ends[phase] - start
        share = (t - start) / duration if duration else 1.0
        if self.anneal_strategy == "cos":
            share = 0.5 * (1 - math.cos(math.pi * share))
        levels = [first, top, first, last] if self.three_phase else [first, top, last]
        return levels[phase] + (levels[phase + 1] - levels[phase]) * share

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        top = base if self.max_lr is None else self.max_lr
        first = top / self.div_factor
        return self.anneal(t, first, top, first / self.final_div_factor)

    def momentum(self, t: float) -> float | None:
        """The momentum at step t; None keeps the optimizer's."""
        if self.momenta is None:
            return None
        low, high = self.momenta
        return self.anneal(t, high, low, high)
