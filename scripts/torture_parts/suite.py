"""What the test suite holds of the rest: not finite, bad data, bad config, untrusted files."""

import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from torture_parts.outcome import Outcome

TESTS = Path(__file__).parents[2] / "tests"
MODULES = {
    "a loss or gradient that is not finite": ["test_guard.py", "test_nonfinite.py"],
    "bad data": ["dataset"],
    "bad config": ["test_typos.py", "test_explain.py", "test_limits.py"],
    "untrusted files": ["untrusted"],
    "two processes": ["test_distributed.py"],
}


def suites(_folder: Path, _options: Namespace) -> Iterator[Outcome]:
    """A row for each."""
    for what, modules in MODULES.items():
        paths = [str(TESTS / module) for module in modules]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *paths],
            check=False,
            capture_output=True,
            text=True,
            cwd=TESTS.parent,
        )
        summary = done.stdout.strip().splitlines()[-1:]
        passed = re.search(r"(\d+) passed", " ".join(summary))
        outcome = Outcome(f"tests of {what}", int(passed[1]) if passed else 0, " ".join(summary))
        outcome.expect(done.returncode == 0, done.stdout[-2000:])
        yield outcome
