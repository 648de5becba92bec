"""Progress, cost and training time of a run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.core.compiled import CLOCK
from trainer.core.state import LARGEST, match


@dataclass
class Cost:
    """Counts the examples passed through the model. Updated by the step, owned by the fit."""

    forward: int = 0  # forward passes, including scoring passes
    backward: int = 0  # backward passes, including masked examples

    def add(self, examples: int, *, backward: bool = True) -> None:
        """Count examples of a forward pass and, unless `backward` is false, a backward pass."""
        self.forward += examples
        self.backward += examples * backward


@dataclass
class Progress:
    """Position of a run in its epochs and steps, and its cost so far."""

    epoch: int = 0
    position: int = 0  # steps done in the epoch
    step: int = 0
    examples: int = 0  # plan rows trained on
    seconds: float = 0.0  # of training, excluding validation, saving and compilation
    startup: float = 0.0  # of these, the first steps of each process, in which a GPU warms up
    compilation: float = 0.0  # seconds, wherever torch compiled
    lr: float = 0.0  # at the last step
    stopped: bool = False  # by early stopping
    logged: tuple[int, float] = (0, 0.0)  # examples and seconds at the last train event
    cost: Cost = field(default_factory=Cost)

    def state_dict(self) -> dict[str, Any]:
        """Return every field as a plain value."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore in place, because the step counts into this same `cost` object.

        Raises ValueError where the state does not fit.
        """
        if isinstance(state, dict):
            state = {"startup": 0.0, "compilation": 0.0} | state  # which those of 0.1.0 lack
        state = match(self.state_dict(), state)
        check_counts(state)
        for name, value in state["cost"].items():
            setattr(self.cost, name, value)
        for name, value in state.items():
            if name != "cost":
                setattr(self, name, value)


def check_counts(state: Mapping[Any, Any], name: str = "") -> None:
    """Raise ValueError for a count or a time that no run has had."""
    for key, value in state.items():
        if isinstance(value, dict):
            check_counts(value, f"{name}{key}.")
        elif isinstance(value, (tuple, list)):
            check_counts(dict(enumerate(value)), f"{name}{key}.")
        elif key != "lr" and not 0 <= value <= LARGEST:
            raise ValueError(f"{name}{key} is {value!r:.80}, not from 0 to {LARGEST}")


def compiling() -> float:
    """Return the seconds that this process has compiled."""
    return CLOCK.seconds


@dataclass
class Stopwatch:
    """Measures seconds of training, excluding validation, saving, image logging, compilation."""

    since: float = field(default_factory=time.perf_counter)
    compiled: float = field(default_factory=compiling)  # by this process, until `since`
    told: float = field(default_factory=compiling)  # of these, those that `compilation` returned

    def start(self) -> None:
        """Start timing from now, discarding the time since the last lap."""
        self.since, self.compiled = time.perf_counter(), compiling()

    def lap(self) -> float:
        """Return the seconds since the last start or lap, and start the next lap."""
        since, compiled = self.since, self.compiled
        self.start()
        return self.since - since - (self.compiled - compiled)

    def compilation(self) -> float:
        """Return the seconds of compilation since the last call, in laps or not."""
        told, self.told = self.told, compiling()
        return self.told - told


@dataclass
class FirstSteps:
    """Times the first step of each number of rows in a process, in which a GPU warms up."""

    sizes: set[int] = field(default_factory=set)

    def timed(
        self, rows: int, progress: Progress, watch: Stopwatch
    ) -> AbstractContextManager[None]:
        """Time a step apart where it is the first with so many rows."""
        if rows in self.sizes:
            return UNTIMED
        self.sizes.add(rows)
        return counted(progress, watch)


UNTIMED = nullcontext()


@contextmanager
def counted(progress: Progress, watch: Stopwatch) -> Iterator[None]:
    """Count the seconds of a step as training and as startup. Nothing waits for a GPU."""
    progress.seconds += watch.lap()
    yield
    seconds = watch.lap()
    progress.seconds += seconds
    progress.startup += seconds
