"""Decay by a factor at given milestones; torch's MultiStepLR."""

from collections.abc import Sequence

from trainer.core.duration import Clock, Duration, from_clock, in_units, positive, reached
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Multistep(Schedule):
    """lr · γ^(number of milestones reached); the new rate applies from the milestone's step."""

    milestone_steps: list[float] = from_clock()  # the milestones in steps

    def __init__(
        self, *, milestones: Sequence[Duration] = ("0.5run", "0.75run"), gamma: float = 0.1
    ) -> None:
        self.milestones = [in_units(milestone) for milestone in milestones]
        for milestone in self.milestones:
            positive(milestone, "schedule.milestones")
        within("schedule.gamma", gamma, "(0, inf)")
        self.gamma = gamma

    def bind(self, clock: Clock) -> None:
        """Convert the milestones to steps."""
        self.milestone_steps = [clock.steps(milestone) for milestone in self.milestones]

    def check_clock(self, clock: Clock) -> None:
        """Raise ValueError for a milestone that is not before the end of the run."""
        for milestone, step in zip(self.milestones, self.milestone_steps, strict=True):
            clock.require(f"schedule.milestones={milestone}", step, inside=True)

    def lr(self, t: float, base: float) -> float:
        """The learning rate at step t."""
        return base * self.gamma ** sum(reached(t, step) for step in self.milestone_steps)
