"""Warm up, hold, decay (Hägele et al. 2024, https://arxiv.org/abs/2405.18392)."""

from trainer.core.duration import Clock, Duration, from_clock, in_units, parse
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Trapezoid(Schedule):
    """Linear from `start_factor`·lr to lr, constant, then linear to `end_lr` at the run's end."""

    total: float = from_clock()  # steps of the run
    rising: float = from_clock()  # steps of the ascent
    falling: float = from_clock()  # steps of the descent

    def __init__(
        self,
        *,
        warmup_steps: Duration = "0.1run",
        decay_steps: Duration = "0.2run",
        start_factor: float = 0.1,
        end_lr: float = 0.0,
    ) -> None:
        self.warmup_steps = in_units(warmup_steps)
        self.decay_steps = in_units(decay_steps)
        parse(self.warmup_steps, "schedule.warmup_steps")
        parse(self.decay_steps, "schedule.decay_steps")
        within("schedule.start_factor", start_factor, "[0, 1]")
        within("schedule.end_lr", end_lr, "[0, inf)")
        self.start_factor = start_factor
        self.end_lr = end_lr

    def bind(self, clock: Clock) -> None:
        """Convert the durations of the phases to steps."""
        self.total = clock.total
        self.rising = clock.steps(self.warmup_steps)
        self.falling = clock.steps(self.decay_steps)

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError unless the phases fit into the run, each and together."""
        rising = f"schedule.warmup_steps={self.warmup_steps}"
        falling = f"schedule.decay_steps={self.decay_steps}"
        clock.require(rising, self.rising)
        clock.require(falling, self.falling)
        clock.require(f"{rising} with {falling}", self.rising + self.falling)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        if t < self.rising:
            return base * (self.start_factor + (1 - self.start_factor) * t / self.rising)
        if t <= self.total - self.falling:
            return base
        left = max(self.total - t, 0.0) / self.falling if self.falling else 0.0
        return self.end_lr + (base - self.end_lr) * min(left, 1.0)
