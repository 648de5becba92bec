"""Durations in any unit: `5ep` epochs, `400st` optimizer steps, `0.1run` a fraction of the run."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.core.text import count

PATTERN = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ep|st|run)\s*")
BIND = "bind(Clock(steps_per_epoch, total))"
ROUNDING = 1e-9  # relative: 0.07run of 100 steps comes out as 7.000000000000001

if TYPE_CHECKING:
    Duration = str | float  # code may give a bare number, of steps
else:
    Duration = str  # a config must name the unit: 10 might as well be epochs


@dataclass(frozen=True)
class Clock:
    """Converts durations to optimizer steps, for a whole run or for the rest of one."""

    steps_per_epoch: float  # of a full epoch
    total: float  # steps that `1run` stands for
    before: float = 0.0  # steps of the run that precede those in `total`

    def steps(self, duration: str) -> float:
        """Convert a duration to steps, unrounded. Raises ValueError if it cannot be parsed."""
        value, unit = parse(duration)
        return value * {"ep": self.steps_per_epoch, "st": 1.0, "run": self.total}[unit]

    def after(self, start: float) -> "Clock":
        """Return the clock of the steps that remain after the first `start`."""
        start = min(start, self.total)
        return Clock(self.steps_per_epoch, self.total - start, self.before + start)

    def require(self, setting: str, steps: float, *, inside: bool = False) -> None:
        """Raise ValueError unless `steps` fit into the run; with `inside`, unless some are left.

        `setting` is quoted in the message and includes the value: `warmup.steps=2ep`.
        """
        fits = not reached(steps, self.total) if inside else reached(self.total, steps)
        if not fits:
            run = self.before + self.total
            left = f", {self.total:.10g} of them after the warmup" if self.before else ""
            raise ValueError(
                f"{setting} is {count(steps, 'step', form='.10g')}, but the run has "
                f"{count(run, 'step', form='.10g')}{left}; shorten it, or train longer"
            )


class NoClock(Clock):
    """The clock before `bind`: it converts only durations in steps, others raise RuntimeError."""

    def __init__(self) -> None:
        pass  # no fields: each would be a guess

    def __getattr__(self, name: str) -> float:
        if name not in ("steps_per_epoch", "total"):
            raise AttributeError(name)
        raise RuntimeError(f"Clock.{name} is unknown: call {BIND} first")

    def steps(self, duration: str) -> float:
        """Return the steps of a duration in `st`. Raises RuntimeError for `ep` and `run`."""
        value, unit = parse(duration)
        if unit != "st":
            raise RuntimeError(f"{duration} needs a clock: call {BIND} first, or count in steps")
        return value


class FromClock:
    """An attribute that `bind(clock)` sets; reading it earlier binds the owner to `NoClock`.

    That raises RuntimeError if a duration is given in epochs or as a fraction of the run. Once
    set, Python finds the instance's own value first, so later reads cost nothing.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        instance.bind(NoClock())
        return vars(instance)[self.name]


def from_clock() -> Any:
    """Declare an attribute of any type that `bind(clock)` sets."""
    return FromClock()


class Every:
    """Tells when a periodic event is due.

    Whole epochs are counted as epochs end, however many steps a miner leaves them. Any other
    period is rounded to steps, at least 1. Raises ValueError unless the period is above 0.
    """

    def __init__(self, duration: str, clock: Clock, setting: str) -> None:
        value, unit = positive(duration, setting)
        by_epoch = unit == "ep" and value == int(value)
        self.epochs = int(value) if by_epoch else 0
        self.steps = 0 if by_epoch else max(1, round(clock.steps(duration)))

    def after_step(self, step: int) -> bool:
        """Return whether the event is due after step `step` of the run, counted from 1."""
        return bool(self.steps) and step % self.steps == 0

    def after_epoch(self, epochs: int) -> bool:
        """Return whether the event is due after `epochs` epochs of the run."""
        return bool(self.epochs) and epochs % self.epochs == 0


class Until:
    """Tells when a phase that begins with the run is over.

    `st` counts steps. Any other duration of an epoch or more ends with an epoch, however many
    steps a miner leaves it.
    """

    def __init__(self, duration: str, clock: Clock) -> None:
        self.steps = round(clock.steps(duration), 6)
        self.epochs = round(self.steps / clock.steps_per_epoch, 6)
        self.by_epoch = parse(duration)[1] != "st" and self.epochs >= 1

    def passed(self, epoch: int, step: int) -> bool:
        """Return whether the phase is over in epoch `epoch` after `step` steps of the run."""
        return epoch >= self.epochs if self.by_epoch else step >= self.steps


def in_units(duration: Duration) -> str:
    """Return the duration with its unit; a bare number, which only code can give, counts steps."""
    return duration if isinstance(duration, str) else f"{duration}st"


def parse(duration: str, setting: str = "a duration") -> tuple[float, str]:
    """Split a duration into its value and its unit. Raises ValueError that names the setting."""
    match = PATTERN.fullmatch(str(duration))
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(
            f"{setting} must be a duration such as 5ep, 400st or 0.1run, got {duration!r}"
        )
    return float(match[1]), match[2]


def positive(duration: str, setting: str) -> tuple[float, str]:
    """Parse a duration that must be above 0. Raises ValueError that names the setting."""
    value, unit = parse(duration, setting)
    if value <= 0:
        raise ValueError(f"{setting} must be above 0, got {duration}")
    return value, unit


def whole(number: float) -> int:
    """Round down; a number that rounding errors left just below an integer becomes it."""
    return math.floor(number + ROUNDING)


def reached(t: float, mark: float) -> bool:
    """Return whether `t` >= `mark`, up to rounding errors."""
    return t >= mark * (1 - ROUNDING)


def ratio(t: float, duration: float) -> float:
    """Return t / duration. A duration of 0 is over at once: 0 at t = 0, then 1."""
    return t / duration if duration else float(t > 0)
