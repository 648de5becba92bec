"""SIGTERM and SIGINT, at random moments."""

import random
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from torture_parts.child import Child, digest, logged_steps, steps, uninterrupted
from torture_parts.kill import unreadable
from torture_parts.outcome import Outcome

CASE = ["mining=ohem", "mixer=mixup", "loader=stream", "loader.workers=0"]
LONG = ["epochs=500", "batch_size=4"]  # nothing ends it but the signal


def signals(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield rows for SIGTERM, and for SIGINT once and twice."""
    rng = random.Random(options.seed)
    yield terminate(folder / "term", options.terms, rng)
    yield interrupt(folder / "int", max(options.terms // 6, 1), rng)


def trains(child: Child) -> bool:
    """Wait until a run logs its first metrics; return False if it ends before."""
    lines = child.folder / "metrics.jsonl"
    while child.running():
        if lines.exists() and lines.stat().st_size:
            return True
        time.sleep(0.002)
    return False


def terminate(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect exit 143 with the last step saved, and no step twice after resuming."""
    outcome = Outcome("SIGTERM at a random step")
    expected, seconds = uninterrupted(folder / "whole", *CASE)
    for attempt in count():
        if outcome.tried == number:
            break
        where = folder / str(attempt)
        child = Child(where, *CASE)
        if not trains(child):
            continue
        time.sleep(rng.random() * seconds / 3)
        child.send(signal.SIGTERM)
        code = child.wait()
        if code == 0:
            continue  # it had finished
        outcome.tried += 1
        last, logged = steps(where)[:1], logged_steps(where)[-1:]
        saved = bool(last and logged) and last >= logged
        outcome.expect(code == 143 and saved, f"exit {code}, saved {last}, logged {logged}")
        outcome.expect(Child(where, *CASE).wait() == 0, "it does not resume")
        taken = logged_steps(where)
        outcome.expect(taken == sorted(set(taken)), f"steps logged twice: {taken}")
        outcome.expect(digest(where) == expected, "the end differs")
    outcome.found = f"exit 143, no step repeated: {number - len(outcome.failures)} of {number}"
    return outcome


def interrupt(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect exit 130; after two signals, within two seconds and with a valid checkpoint."""
    outcome = Outcome("SIGINT once, and twice")
    slowest = 0.0
    for attempt in range(number):
        for times in (1, 2):
            where = folder / f"{attempt}-{times}"
            child = Child(where, *LONG)
            trains(child)
            time.sleep(0.2 + rng.random() / 5)
            began = time.monotonic()
            for _ in range(times):
                child.send(signal.SIGINT)
            code, seconds = child.wait(), time.monotonic() - began
            slowest = max(slowest, seconds)
            outcome.tried += 1
            outcome.expect(code in (130, -signal.SIGINT), f"{times} times: exit {code}")
            outcome.expect(seconds < 2 or times == 1, f"ended after {seconds:.1f} s")
            outcome.expect(not unreadable(where), unreadable(where))
    outcome.found = f"exit 130, the slowest after {slowest:.1f} s"
    return outcome
