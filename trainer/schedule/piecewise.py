"""A piecewise constant learning rate."""

from collections.abc import Sequence
from itertools import pairwise

from trainer.core.duration import Clock, Duration, from_clock, in_units, positive, reached
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Piecewise(Schedule):
    """values[i] from boundaries[i − 1] up to but excluding boundaries[i].

    The values are learning rates, not factors.
    """

    boundary_steps: list[float] = from_clock()  # the boundaries in steps

    def __init__(
        self,
        *,
        boundaries: Sequence[Duration] = ("0.5run", "0.75run"),
        values: Sequence[float] = (1e-3, 1e-4, 1e-5),
    ) -> None:
        self.boundaries = [in_units(boundary) for boundary in boundaries]
        for boundary in self.boundaries:
            positive(boundary, "schedule.boundaries")
        within("schedule.values", values, "[0, inf)")
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"schedule.values must be {len(boundaries) + 1}, one more than "
                f"schedule.boundaries, got {values}"
            )
        self.values = values

    def bind(self, clock: Clock) -> None:
        """Convert the boundaries to steps."""
        self.boundary_steps = [clock.steps(boundary) for boundary in self.boundaries]

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError unless the boundaries ascend and come before the end of the run."""
        for boundary, step in zip(self.boundaries, self.boundary_steps, strict=True):
            clock.require(f"schedule.boundaries={boundary}", step, inside=True)
        if any(b <= a for a, b in pairwise(self.boundary_steps)):
            boundaries = ",".join(self.boundaries)
            raise ValueError(f"schedule.boundaries must ascend, got [{boundaries}]")

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return self.values[sum(reached(t, step) for step in self.boundary_steps)]
