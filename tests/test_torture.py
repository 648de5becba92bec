"""The short form of scripts/torture.py; and that it finds what an unsafe writer leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "torture.py"
SHORT = {
    "kill": ["--kills", "6"],
    "stop": ["--stride", "61"],
    "signals": ["--terms", "2"],
    "damage": ["--flips", "100", "--truncations", "20"],
    "disk": [],
}


def torture(*arguments: str) -> tuple[int, list[str], str]:
    """Exit code, verdicts and what went wrong."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    rows = [line.split("|")[-2].strip() for line in done.stdout.splitlines()[2:]]
    return done.returncode, rows, done.stderr


@pytest.mark.parametrize("part", SHORT)
def test_nothing_breaks(part):
    code, verdicts, errors = torture(part, *SHORT[part])
    assert code == 0, errors
    assert verdicts
    assert set(verdicts) <= {"ok", "skipped"}
    assert part == "disk" or "ok" in verdicts


def test_an_unsafe_writer_is_found():
    """Checkpoints written in place: kills inside a save leave an unreadable latest one."""
    code, verdicts, errors = torture("kill", "--kills", "6", "--unsafe")
    assert (code, verdicts) == (1, ["FAILED"])
    assert "the latest checkpoint" in errors
