"""Lengths in any unit: `5ep` epochs, `400st` optimizer steps, `0.1run` a share of the run."""

import math
import re
from dataclasses import dataclass

PATTERN = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ep|st|run)\s*")
ROUNDING = 1e-9  # 0.07run of 100 steps is 7.000000000000001 of them


@dataclass(frozen=True)
class Clock:
    """How long a run is, or what is left of it, in steps of a full epoch."""

    steps_per_epoch: float
    total: float
    before: float = 0.0  # steps of the run that are not in `total`

    def steps(self, length: str) -> float:
        """The length in steps."""
        value, unit = parse(length)
        return value * {"ep": self.steps_per_epoch, "st": 1.0, "run": self.total}[unit]

    def after(self, start: float) -> "Clock":
        """The clock of what remains after `start` steps."""
        start = min(start, self.total)
        return Clock(self.steps_per_epoch, self.total - start, self.before + start)

    def require(self, setting: str, steps: float, *, inside: bool = False) -> None:
        """Raise ValueError unless so many steps fit; `inside`: with some of the run after them.

        `setting` is the setting with its value.
        """
        fits = not reached(steps, self.total) if inside else reached(self.total, steps)
        if not fits:
            run = self.before + self.total
            left = f", {self.total:.10g} of them after the warmup" if self.before else ""
            raise ValueError(
                f"{setting} is {steps:.10g} steps, but the run has {run:.10g} "
                f"steps{left}; shorten it, or train longer"
            )


class Every:
    """When something is due that happens every so often.

    Epochs are counted as they end, however many steps a miner leaves them; other lengths in steps.
    """

    def __init__(self, length: str, clock: Clock, setting: str) -> None:
        value, unit = positive(length, setting)
        by_epoch = unit == "ep" and value == int(value)
        self.epochs = int(value) if by_epoch else 0
        self.steps = 0 if by_epoch else max(1, round(clock.steps(length)))

    def after_step(self, step: int) -> bool:
        """Whether it is due after `step` steps."""
        return bool(self.steps) and step % self.steps == 0

    def after_epoch(self, epochs: int) -> bool:
        """Whether it is due after `epochs` epochs."""
        return bool(self.epochs) and epochs % self.epochs == 0


class Until:
    """When something ends that lasts for a length from the start of the run.

    `st` counts steps. Other lengths of an epoch or more end as an epoch does, however many steps a
    miner leaves it.
    """

    def __init__(self, length: str, clock: Clock) -> None:
        self.steps = round(clock.steps(length), 6)
        self.epochs = round(self.steps / clock.steps_per_epoch, 6)
        self.by_epoch = parse(length)[1] != "st" and self.epochs >= 1

    def passed(self, epoch: int, step: int) -> bool:
        """Whether it is over in an epoch, after `step` steps of the run."""
        return epoch >= self.epochs if self.by_epoch else step >= self.steps


def parse(length: str, setting: str = "a length") -> tuple[float, str]:
    """Value and unit of a length. Raises ValueError that names the setting."""
    match = PATTERN.fullmatch(str(length))
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"{setting} must be a length such as 5ep, 400st or 0.1run, got {length!r}")
    return float(match[1]), match[2]


def positive(length: str, setting: str) -> tuple[float, str]:
    """Value and unit of a length above 0. Raises ValueError that names the setting."""
    value, unit = parse(length, setting)
    if value <= 0:
        raise ValueError(f"{setting} must be above 0, got {length}")
    return value, unit


def whole(number: float) -> int:
    """The number rounded down; one that rounding left just under an integer is that integer."""
    return math.floor(number + ROUNDING)


def reached(t: float, mark: float) -> bool:
    """Whether step t is at a mark or past it, but for rounding."""
    return t >= mark * (1 - ROUNDING)


def ratio(t: float, length: float) -> float:
    """What share of a length t is; of a length of 0, 0 at t = 0 and 1 after."""
    return t / length if length else float(t > 0)
