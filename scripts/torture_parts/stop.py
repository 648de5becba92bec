"""SIGTERM at every forward pass of two epochs, including accumulation and validation."""

import os
import signal
from argparse import Namespace
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from torture_parts.child import Child, digest, logged_steps, uninterrupted
from torture_parts.outcome import Outcome
from trainer.core.forward import Forward

CASES = {
    "plain": [],
    "accumulate=3": ["accumulate=3", "batch_size=96"],
    "mining=hard_example ema=0.9": ["mining=hard_example", "ema=0.9"],
}


def stops(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield a row for each case."""
    for number, (name, case) in enumerate(CASES.items()):
        yield stop_everywhere(folder / str(number), name, case, options.stride)


def stop_everywhere(folder: Path, name: str, case: list[str], stride: int) -> Outcome:
    """Stop at every `stride`-th pass, until a run finishes before that pass."""
    outcome = Outcome(f"stopped at every pass and resumed, {name}")
    expected, _ = uninterrupted(folder / "whole", *case)
    for place in count(stride, stride):
        where = folder / str(place)
        code = Child(where, *case, before=signal_at(place)).wait()
        if code == 0:
            break  # the run has fewer passes
        outcome.tried += 1
        resumed = Child(where, *case).wait()
        outcome.expect((code, resumed) == (143, 0), f"pass {place}: exit {code}, then {resumed}")
        if resumed == 0:
            outcome.expect(digest(where) == expected, f"pass {place}: the end differs")
            taken = logged_steps(where)
            outcome.expect(taken == sorted(set(taken)), f"pass {place}: steps logged twice")
    outcome.found = f"{len(outcome.failures)} failures"
    return outcome


def signal_at(place: int) -> Callable[[], None]:
    """Return a hook that sends its process SIGTERM before the n-th forward pass."""

    def install() -> None:
        passes = count(1)
        forward = Forward.__call__

        def counted(self, images):
            if next(passes) == place:
                os.kill(os.getpid(), signal.SIGTERM)
            return forward(self, images)

        Forward.__call__ = counted  # pyright: ignore

    return install
