"""Decay by a factor at given times; torch's MultiStepLR."""

from trainer.core.duration import Clock, positive, reached
from trainer.core.ranges import within
from trainer.schedule.base import Schedule


class Multistep(Schedule):
    """lr · γ^(number of milestones reached); at a milestone the next rate holds, as in torch."""

    def __init__(self, *, milestones: list[str], gamma: float = 0.1) -> None:
        for milestone in milestones:
            positive(milestone, "schedule.milestones")
        within("schedule.gamma", gamma, "(0, inf)")
        self.milestones = milestones
        self.gamma = gamma

    def bind(self, clock: Clock) -> None:
        """The milestones in steps."""
        self.marks = [clock.steps(milestone) for milestone in self.milestones]

    def check(self, clock: Clock) -> None:
        """Each milestone must come before the run's end."""
        for milestone, mark in zip(self.milestones, self.marks, strict=True):
            clock.require(f"schedule.milestones={milestone}", mark, inside=True)

    def lr(self, t: float, base: float) -> float:
        """The rate at step t."""
        return base * self.gamma ** sum(reached(t, mark) for mark in self.marks)
