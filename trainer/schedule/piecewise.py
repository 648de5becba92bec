"""Given rates between given times."""

from itertools import pairwise

from trainer.core.duration import Clock, positive, reached
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Piecewise(Schedule):
    """values[i] from boundaries[i − 1] on and before boundaries[i]: at a boundary the next holds.

    The values are rates, not factors.
    """

    def __init__(self, *, boundaries: list[str], values: list[float]) -> None:
        for boundary in boundaries:
            positive(boundary, "schedule.boundaries")
        within("schedule.values", values, "[0, inf)")
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"schedule.values must be {len(boundaries) + 1}, one more than "
                f"schedule.boundaries, got {values}"
            )
        self.boundaries = boundaries
        self.values = values

    def bind(self, clock: Clock) -> None:
        """The boundaries in steps."""
        self.marks = [clock.steps(boundary) for boundary in self.boundaries]

    def check(self, clock: Clock) -> None:
        """The boundaries must ascend, and come before the run's end."""
        for boundary, mark in zip(self.boundaries, self.marks, strict=True):
            clock.require(f"schedule.boundaries={boundary}", mark, inside=True)
        if any(b <= a for a, b in pairwise(self.marks)):
            shown = ",".join(self.boundaries)
            raise ValueError(f"schedule.boundaries must ascend, got [{shown}]")

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        return self.values[sum(reached(t, mark) for mark in self.marks)]
