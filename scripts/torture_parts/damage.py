"""Flipped bits and truncated files in the newest checkpoint of a run."""

import random
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from torture_parts.child import Child, steps, uninterrupted
from torture_parts.outcome import Outcome
from trainer.storage import checkpoint

Harm = Callable[[bytes, random.Random], bytes]


def damages(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield rows for flips, for truncations, and for all checkpoints damaged at once."""
    run = folder / "run"
    uninterrupted(run)
    rng = random.Random(options.seed)
    yield harmed("flipped bits", run, options.flips, flip, rng)
    yield harmed("truncated files", run, options.truncations, truncate, rng)
    yield all_damaged(run)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    place = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Keep the beginning of a file."""
    return data[: rng.randrange(len(data))]


def harmed(what: str, run: Path, number: int, harm: Harm, rng: random.Random) -> Outcome:
    """Expect all damage to be detected and the checkpoint before to be used, with one warning."""
    outcome = Outcome(f"{what} in the latest checkpoint")
    folder = run / "checkpoints"
    newest, before = (checkpoint.step_folder(folder, step) for step in steps(run)[:2])
    files = sorted(newest.iterdir())
    for _ in range(number):
        file = rng.choice(files)
        data = file.read_bytes()
        file.write_bytes(harm(data, rng))
        warnings: list[str] = []
        used = checkpoint.latest(folder, warnings.append)
        named = len(warnings) == 1 and str(newest) in warnings[0] and str(before) in warnings[0]
        outcome.expect(used is not None and used.path == before and named, f"{file}: {warnings}")
        outcome.tried += 1
        file.write_bytes(data)
    outcome.found = f"{number - len(outcome.failures)} detected, the checkpoint before used"
    return outcome


def all_damaged(run: Path) -> Outcome:
    """Expect exit 5 with each reason, and no silent start from scratch."""
    outcome = Outcome("all checkpoints damaged", 1)
    (run / "status.json").unlink()  # or it counts as finished
    paths = [checkpoint.step_folder(run / "checkpoints", step) for step in steps(run)]
    for path in paths:
        state = path / "state.pt"
        state.write_bytes(state.read_bytes()[:-1])
    child = Child(run)
    code, error = child.wait(), child.errors.read_text()
    outcome.expect(code == 5 and error.count("\n") == 1, f"exit {code}: {error}")
    outcome.expect(all(str(path) in error for path in paths), f"some are not named: {error}")
    outcome.found = f"exit {code}, {len(paths)} reasons"
    return outcome
