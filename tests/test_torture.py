"""The short form of scripts/torture.py, in one process; and that it catches an unsafe writer."""

import subprocess
import sys
from pathlib import Path

import pytest
from torture_parts.suite import MODULES, TESTS

# A stop at every pass is tested in training/test_fit.py.
SHORT = "kill signals damage disk --kills 3 --terms 1 --flips 40 --truncations 20 --no-pictures"
UNSAFE = "kill --kills 60 --unsafe --no-pictures"
RUN_EACH = """
import sys
sys.path.insert(0, ".")
import torture
for arguments in sys.argv[1:]:
    print("exit", torture.main(arguments.split()))
"""
pytestmark = pytest.mark.timeout(900)  # on a busy machine


@pytest.fixture(scope="module")
def rows() -> tuple[dict[str, str], str]:
    """The verdict of each row of the table, for the safe and the unsafe call; and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_EACH, SHORT, UNSAFE],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1] / "scripts",
    )
    assert done.returncode == 0, done.stderr
    verdicts, call = {}, "safe"
    for line in done.stdout.splitlines():
        if line.startswith("exit"):
            verdicts[f"{call}: exit"] = line.split()[1]
            call = "unsafe"
        elif line.startswith("| ") and not line.startswith(("| what", "| ---")):
            cells = line.split("|")
            verdicts[f"{call}: {cells[1].strip()}"] = cells[-2].strip()
    return verdicts, done.stderr


def test_no_attempt_breaks_a_run(rows):
    verdicts, errors = rows
    safe = {name: verdict for name, verdict in verdicts.items() if name.startswith("safe")}
    assert safe.pop("safe: exit") == "0", errors
    disk = {name for name in safe if "disk" in name}
    assert len(disk) == 2
    assert len(safe) == 9
    for name, verdict in safe.items():
        assert verdict in (("ok", "skipped") if name in disk else ("ok",)), name


def test_an_unsafe_writer_is_caught(rows):
    """Checkpoints written in place: kills inside a save leave an unreadable latest one."""
    verdicts, errors = rows
    assert verdicts["unsafe: exit"] == "1"
    assert verdicts["unsafe: kill -9, then resumed to the end"] == "FAILED"
    assert "the latest checkpoint" in errors


def test_the_suites_it_runs_exist():
    for modules in MODULES.values():
        for module in modules:
            assert (TESTS / module).exists(), module
