"""How far a run has come, and the seconds that it took."""

import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    position: int = 0  # steps done in the epoch
    step: int = 0
    examples: int = 0  # rows of the plans that were trained on
    seconds: float = 0.0  # of training, without validation and saving
    lr: float = 0.0  # in force at the last step
    stopped: bool = False  # by early stopping


@dataclass
class Stopwatch:
    """Seconds of training; validation, saving and logging pictures are not in it."""

    since: float = field(default_factory=time.perf_counter)

    def start(self) -> None:
        """Training goes on from now."""
        self.since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last start or lap."""
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        return seconds
