"""The shell scripts, with a Python that only records its commands; and what benchmarks share."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
import race

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
STUB = """#!/bin/sh
echo "$@" >>"{log}"
case "$*" in
    *"pip install"*) exit "${{PIP_EXIT:-0}}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m "*) exit 0 ;;
    *) exec "{python}" -I -S "$@" ;;
esac
"""


class Checkout:
    """A copy of the scripts in a folder with a space in its name, and a stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("scripts/environment.sh", "scripts/train.sh"):
            shutil.copy(ROOT / name, self.root / name)
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.root / name)
        self.log = folder / "log"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.commands = folder / "commands"
        self.stub(self.commands / "python3.11")

    def stub(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        path.write_text(STUB.format(log=self.log, python=sys.executable))
        path.chmod(0o755)

    def source(
        self, command: str, active: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command with environment.sh sourced, from another folder."""
        script = f'set -euo pipefail; source "{self.root}/scripts/environment.sh"; {command}'
        return self.bash("-c", script, active=active, **variables)

    def bash(
        self, *arguments: str, active: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"VIRTUAL_ENV": str(active or "")} | variables
        environment["PATH"] = f"{self.commands}:{environment['PATH']}"
        command = ["bash", *arguments]
        return subprocess.run(
            command,
            check=False,
            cwd=self.elsewhere,
            env=environment,
            capture_output=True,
            text=True,
        )

    def installs(self) -> list[str]:
        """List the install commands so far."""
        return [line for line in self.log.read_text().splitlines() if "pip install" in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_every_script_is_valid_bash() -> None:
    for script in SCRIPTS:
        command = ["bash", "-n", str(script)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_active_environment_is_used(checkout: Checkout, tmp_path: Path) -> None:
    active = tmp_path / "my environment"
    checkout.stub(active / "bin" / "python")
    done = checkout.source('environment dev; echo "$VIRTUAL_ENV"; command -v python', active)
    assert done.stdout.splitlines() == [str(active), str(active / "bin" / "python")], done.stderr
    assert checkout.installs()[0].endswith("-c constraints.txt -e .[dev]")
    assert not (checkout.root / ".venv").exists()


def test_without_an_active_environment_one_is_created_in_the_root(checkout: Checkout) -> None:
    done = checkout.source('environment; echo "$VIRTUAL_ENV"')
    assert done.stdout.strip() == str(checkout.root / ".venv"), done.stderr
    assert checkout.installs()[0].endswith("-c constraints.txt -e .")


def test_a_deleted_environment_is_not_used(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.source('environment; echo "$VIRTUAL_ENV"', tmp_path / "gone")
    assert done.stdout.strip() == str(checkout.root / ".venv"), done.stderr


def test_an_install_is_repeated_only_for_more_or_changed_requirements(checkout: Checkout) -> None:
    for extra, installs in [("", 1), ("", 1), ("dev", 2), ("dev", 2), ("", 2)]:
        assert checkout.source(f"environment {extra}").returncode == 0
        assert len(checkout.installs()) == installs, extra
    for installs, name in enumerate(("pyproject.toml", "constraints.txt"), 3):
        with (checkout.root / name).open("a") as file:
            file.write("# changed\n")
        checkout.source("environment")
        assert len(checkout.installs()) == installs, name


def test_another_checkout_in_the_same_environment_is_installed(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.source("environment")
    environment = checkout.root / ".venv"
    other = shutil.copytree(checkout.root / "scripts", tmp_path / "other" / "scripts").parent
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(checkout.root / name, other / name)
    checkout.bash(str(other / "scripts" / "train.sh"), active=environment)
    assert len(checkout.installs()) == 2


def test_a_failed_install_is_retried(checkout: Checkout) -> None:
    failed = checkout.source("environment; echo continued", PIP_EXIT="3")
    assert failed.returncode == 3
    assert "continued" not in failed.stdout
    assert checkout.source("environment").returncode == 0
    assert len(checkout.installs()) == 2


def test_train_forwards_its_arguments(checkout: Checkout) -> None:
    done = checkout.bash(str(checkout.root / "scripts" / "train.sh"), "epochs=1", "run=a b")
    assert done.returncode == 0, done.stderr
    assert checkout.log.read_text().splitlines()[-1] == "-m trainer epochs=1 run=a b"


def test_a_missing_python_is_one_line_that_says_what_to_install(checkout: Checkout) -> None:
    refusing = {
        "python3.11": "exit 127",  # as pyenv's shims do
        "python3.12": 'exec "{python}" -I -S -c "import sys; sys.version_info = (3, 10, 9); $2"',
        "python3.13": 'exec "{python}" -I -S -c "import sys; sys.version_info = (3, 14, 0); $2"',
        "python3": "exit 127",
    }
    for name, line in refusing.items():
        path = checkout.commands / name
        path.write_text("#!/bin/sh\n" + line.format(python=sys.executable) + "\n")
        path.chmod(0o755)
    done = checkout.source("environment; echo continued")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11 to 3.13" in done.stderr


def test_rivals_take_turns() -> None:
    order: list[str] = []
    calls = {name: partial(order.append, name) for name in "ab"}
    assert race.turns(calls, 2) == {"a": [None] * 2, "b": [None] * 2}
    assert "".join(order) == "ababab"
    order.clear()
    race.turns(calls, 3, warm_up=0, swap=True)
    assert "".join(order) == "abbaab"


def test_a_rival_is_rebuilt_for_each_setting_and_ends_with_its_race(tmp_path: Path) -> None:
    settings: list[int] = []

    class Rival:
        def __init__(self, setting: int, folder: Path) -> None:
            assert folder.is_dir()
            settings.append(setting)

        def speed(self) -> float:
            return 10.0 * settings[-1]

    end, other = multiprocessing.Pipe()
    server = threading.Thread(target=race.serve, args=(Rival, other))
    server.start()
    assert [race.ask(end, order) for order in (1, None, None, 2, None)] == [None, 10, 10, None, 20]
    end.close()
    server.join(60)
    assert not server.is_alive()
    assert settings == [1, 2]


def test_figures_are_formatted(capsys: pytest.CaptureFixture[str]) -> None:
    assert race.spread([9.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 9.0)"
    assert race.quartiles([0.0, 1.0, 2.0, 3.0, 4.0], ".0f") == "2 [1, 3]"
    assert race.deviation([1.0, 3.0], ".2f") == "2.00 ± 1.41"
    assert race.deviation([3.0], ".1f") == "3.0 ± 0.0"
    assert race.ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    race.table(["name", "s"], [("a", 1)])
    assert capsys.readouterr().out == "\n| name | s |\n| --- | --- |\n| a | 1 |\n"
    assert f"{os.cpu_count()} cores" in race.machine("torch")
