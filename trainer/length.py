"""Lengths in any unit: `5ep` epochs, `400st` optimizer steps, `0.1run` a share of the run."""

import math
import re
from dataclasses import dataclass

PATTERN = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e-?[0-9]+)?)\s*(ep|st|run)\s*")


@dataclass(frozen=True)
class Clock:
    """How long a run is, in steps of a full epoch."""

    steps_per_epoch: float
    total: float

    def steps(self, length: str) -> float:
        """The length in steps."""
        value, unit = parse(length)
        return value * {"ep": self.steps_per_epoch, "st": 1.0, "run": self.total}[unit]

    def after(self, start: float) -> "Clock":
        """The clock of what remains after `start` steps."""
        return Clock(self.steps_per_epoch, max(self.total - start, 0.0))


class Every:
    """When something is due that happens every so often.

    Epochs are counted as they end, however many steps a miner leaves them; other lengths in steps.
    """

    def __init__(self, length: str, clock: Clock, setting: str) -> None:
        value, unit = parse(length, setting)
        if value <= 0:
            raise ValueError(f"{setting} must be above 0, got {length}")
        by_epoch = unit == "ep" and value == int(value)
        self.epochs = int(value) if by_epoch else 0
        self.steps = 0 if by_epoch else max(1, round(clock.steps(length)))

    def after_step(self, step: int) -> bool:
        """Whether it is due after `step` steps."""
        return bool(self.steps) and step % self.steps == 0

    def after_epoch(self, epochs: int) -> bool:
        """Whether it is due after `epochs` epochs."""
        return bool(self.epochs) and epochs % self.epochs == 0


def parse(length: str, setting: str = "a length") -> tuple[float, str]:
    """Value and unit of a length. Raises ValueError that names the setting."""
    match = PATTERN.fullmatch(str(length))
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"{setting} must be a length such as 5ep, 400st or 0.1run, got {length!r}")
    return float(match[1]), match[2]
