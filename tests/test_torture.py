"""The short form of scripts/torture.py, in one process; and that it catches an unsafe writer."""

import os
import posix
import sys
import traceback
from pathlib import Path

import pytest
import torture
from everywhere import SHOW
from torture_parts.suite import MODULES, TESTS

from trainer.report.log import Log

# A stop at every pass is tested in training/test_fit.py.
SHORT = "kill signals damage disk --kills 4 --terms 1 --flips 40 --truncations 20 --no-pictures"
UNSAFE = "kill --kills 60 --unsafe --no-pictures"
pytestmark = pytest.mark.timeout(900)  # on a busy machine


def both_calls(folder: Path) -> tuple[str, str]:
    """Stdout and stderr of both calls, in a fork: what forks need is imported only once."""
    out, err = (folder / name for name in ("stdout", "stderr"))
    pid = os.fork()
    if pid == 0:
        try:
            for number, path in enumerate((out, err), start=1):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
            os.fsync, Log.show = posix.fsync, SHOW  # a save and a log as long as those of a run
            with os.fdopen(1, "w") as sys.stdout, os.fdopen(2, "w") as sys.stderr:
                for arguments in (SHORT, UNSAFE):
                    print("exit", torture.main(arguments.split()))  # noqa: T201
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return out.read_text(), err.read_text()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """The verdict of each row of the table, for the safe and the unsafe call; and stderr."""
    out, err = both_calls(tmp_path_factory.mktemp("torture"))
    verdicts, call = {}, "safe"
    for line in out.splitlines():
        if line.startswith("exit"):
            verdicts[f"{call}: exit"] = line.split()[1]
            call = "unsafe"
        elif line.startswith("| ") and not line.startswith(("| what", "| ---")):
            cells = line.split("|")
            verdicts[f"{call}: {cells[1].strip()}"] = cells[-2].strip()
    return verdicts, err


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
