"""Attempts that the test suite covers: non-finite values, bad data, bad config, hostile files."""

import re
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from torture_parts.outcome import Outcome

TESTS = Path(__file__).parents[2] / "tests"
MODULES = {
    "a non-finite loss or gradient": [
        "training/test_nonfinite.py",
        "training/test_nonfinite_runs.py",
    ],
    "bad data": ["dataset"],
    "bad config": ["config/test_typos.py", "config/test_explain.py", "core/test_yaml_limits.py"],
    "untrusted files": ["storage/untrusted"],
    "two processes": ["distributed"],
}


def suites(_folder: Path, _options: Namespace) -> Iterator[Outcome]:
    """Run each part of the test suite; yield a row for each."""
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
