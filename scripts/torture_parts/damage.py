"""Bits that flip and files that end early, in the newest checkpoint of a run."""

import random
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from torture_parts.child import Child, steps, uninterrupted
from torture_parts.outcome import Outcome
from trainer.storage import checkpoint

Harm = Callable[[bytes, random.Random], bytes]


def damages(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Flips, truncations, and all checkpoints at once."""
    run = folder / "run"
    uninterrupted(run)
    rng = random.Random(options.seed)
    yield harmed("flipped bits", run, options.flips, flip, rng)
    yield harmed("truncated files", run, options.truncations, truncate, rng)
    yield all_damaged(run)


def flip(data: bytes, rng: random.Random) -> bytes:
    """One bit."""
    place = rng.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """A part of the file."""
    return data[: rng.randrange(len(data))]


def harmed(what: str, run: Path, number: int, harm: Harm, rng: random.Random) -> Outcome:
    """Each must be found, and the checkpoint before it taken with one warning that names both."""
    outcome = Outcome(f"{what} in the latest checkpoint")
    folder = run / "checkpoints"
    newest, before = (checkpoint.step_folder(folder, step) for step in steps(run)[:2])
    files = sorted(newest.iterdir())
    for _ in range(number):
        file = rng.choice(files)
        data = file.read_bytes()
        file.write_bytes(harm(data, rng))
        warnings: list[str] = []
        held = checkpoint.latest(folder, warnings.append)
        named = len(warnings) == 1 and str(newest) in warnings[0] and str(before) in warnings[0]
        outcome.expect(held is not None and held.path == before and named, f"{file}: {warnings}")
        outcome.tried += 1
        file.write_bytes(data)
    outcome.found = f"{number - len(outcome.failures)} found, the one before used"
    return outcome


def all_damaged(run: Path) -> Outcome:
    """Exit 5 with each reason, and no silent start from nothing."""
    outcome = Outcome("all checkpoints damaged", 1)
    (run / "status.json").unlink()  # or it is finished
    paths = [checkpoint.step_folder(run / "checkpoints", step) for step in steps(run)]
    for path in paths:
        state = path / "state.pt"
        state.write_bytes(state.read_bytes()[:-1])
    child = Child(run)
    code, said = child.wait(), child.errors.read_text()
    outcome.expect(code == 5 and said.count("\n") == 1, f"exit {code}: {said}")
    outcome.expect(all(str(path) in said for path in paths), f"not each is named: {said}")
    outcome.found = f"exit {code}, {len(paths)} reasons"
    return outcome
