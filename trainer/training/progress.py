"""How far a run has come, what it has cost, and how long it took."""

import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Cost:
    """Examples that a run has pushed through the model. Counted by the step, owned by the fit."""

    forward: int = 0  # forward passes, scoring passes included
    backward: int = 0  # backward passes, masked examples included

    def add(self, examples: int, *, backward: bool = True) -> None:
        """Count examples that went forward, and backward too unless told otherwise."""
        self.forward += examples
        self.backward += examples * backward


@dataclass
class Progress:
    """How far a run has come, and what it has cost."""

    epoch: int = 0
    position: int = 0  # steps done in the epoch
    step: int = 0
    examples: int = 0  # rows of the plans that were trained on
    seconds: float = 0.0  # of training, without validation and saving
    lr: float = 0.0  # in force at the last step
    stopped: bool = False  # by early stopping
    logged: tuple[int, float] = (0, 0.0)  # examples and seconds at the last train event
    cost: Cost = field(default_factory=Cost)

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain values."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore it in place: the step goes on counting into the same `cost`."""
        for name, value in state["cost"].items():
            setattr(self.cost, name, value)
        for name, value in state.items():
            if name != "cost":
                setattr(self, name, value)


@dataclass
class Stopwatch:
    """Seconds of training, without validation, saving and logging pictures."""

    since: float = field(default_factory=time.perf_counter)

    def start(self) -> None:
        """Start timing now."""
        self.since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last start or lap."""
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        return seconds
