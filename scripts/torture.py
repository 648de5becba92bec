"""Try to break runs in every way that a machine or a person might, and print a table.

    python scripts/torture.py                          # everything, about a quarter of an hour
    python scripts/torture.py kill --kills 40          # one part
    python scripts/torture.py kill --kills 8 --unsafe  # a writer that is not atomic: it must fail

"Identical" means one SHA-256 over weights, buffers, averages, optimizer, schedule, miner and
difficulty store, on the CPU with one thread. Runs are forked from one process that has imported
everything; `kill` also starts some from the command line. The exit code is 1 if anything failed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from torture_parts import (
    damage,
    disk,
    foreign_folder,
    foreign_state,
    images,
    kill,
    limits,
    signals,
    stop,
    suite,
)
from torture_parts.child import Child
from torture_parts.outcome import Outcome

PARTS = {
    "kill": kill.kills,
    "stop": stop.stops,
    "signals": signals.signals,
    "damage": damage.damages,
    "state": foreign_state.foreign_states,
    "folders": foreign_folder.foreign_folders,
    "images": images.images,
    "disk": disk.full_disks,
    "limits": limits.limits,
    "suite": suite.suites,
}


def show(outcome: Outcome, seconds: float) -> None:
    """Print a row of the table, and a line for each failure."""
    verdict = "ok" if outcome.passed else "FAILED" if outcome.failures else "skipped"
    cells = [outcome.what, str(outcome.tried), outcome.found, f"{seconds:.0f} s", verdict]
    print("| " + " | ".join(cells) + " |", flush=True)
    for failure in outcome.failures[:10]:
        print(f"    {failure}", file=sys.stderr, flush=True)


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--terms", type=int, default=60, help="SIGTERMs at random moments")
    parser.add_argument("--stride", type=int, default=1, help="stop at every n-th forward pass")
    parser.add_argument("--flips", type=int, default=2000)
    parser.add_argument("--truncations", type=int, default=300)
    parser.add_argument("--forgeries", type=int, default=300, help="replaced tensors, by case")
    parser.add_argument("--foreign", type=int, default=100, help="replaced files, by job")
    parser.add_argument("--images", type=int, default=20_000, help="mutated images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unsafe", action="store_true", help="write checkpoints in place")
    parser.add_argument("--no-pictures", action="store_true", help="skip the pictures of each run")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts named on the command line; return the exit code."""
    options = options_of(arguments)
    Child.pictures = not options.no_pictures
    torch.set_num_threads(1)
    print("| what | tried | found | time | |\n| --- | --- | --- | --- | --- |", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in options.parts:
            began = time.monotonic()
            for outcome in PARTS[name](Path(folder) / name, options):
                show(outcome, time.monotonic() - began)
                failed |= bool(outcome.failures)
                began = time.monotonic()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
