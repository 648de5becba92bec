"""The shell scripts, with a Python that only notes what it is asked to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
STUB = """#!/bin/sh
echo "$@" >>"{log}"
case "$*" in
    *"pip install"*) exit "${{PIP_EXIT:-0}}" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-m "*) exit 0 ;;
    *) exec "{python}" "$@" ;;
esac
"""


class Checkout:
    """A copy of the scripts in a folder with a space, and a stand-in for Python."""

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
        """The command with environment.sh sourced, from another folder."""
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
        """The commands that installed, so far."""
        return [line for line in self.log.read_text().splitlines() if "pip install" in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_every_script(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_active_environment_is_used(checkout: Checkout, tmp_path: Path) -> None:
    active = tmp_path / "my environment"
    checkout.stub(active / "bin" / "python")
    done = checkout.source('environment dev; echo "$VIRTUAL_ENV"; command -v python', active)
    assert done.stdout.splitlines() == [str(active), str(active / "bin" / "python")], done.stderr
    assert checkout.installs()[0].endswith("-c constraints.txt -e .[dev]")
    assert not (checkout.root / ".venv").exists()


def test_without_one_the_environment_is_made_in_the_root(checkout: Checkout) -> None:
    done = checkout.source('environment; echo "$VIRTUAL_ENV"')
    assert done.stdout.strip() == str(checkout.root / ".venv"), done.stderr
    assert checkout.installs()[0].endswith("-c constraints.txt -e .")


def test_an_environment_that_was_deleted_is_not_active(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.source('environment; echo "$VIRTUAL_ENV"', tmp_path / "gone")
    assert done.stdout.strip() == str(checkout.root / ".venv"), done.stderr


@pytest.mark.parametrize(
    ("first", "second", "installs"),
    [("", "", 1), ("dev", "dev", 1), ("dev", "", 1), ("", "dev", 2)],
)
def test_an_install_is_repeated_only_for_more(
    checkout: Checkout, first: str, second: str, installs: int
) -> None:
    for extra in (first, second):
        assert checkout.source(f"environment {extra}").returncode == 0
    assert len(checkout.installs()) == installs


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_is_installed(checkout: Checkout, name: str) -> None:
    checkout.source("environment")
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    checkout.source("environment")
    assert len(checkout.installs()) == 2


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


def test_a_failed_install_is_tried_again(checkout: Checkout) -> None:
    failed = checkout.source("environment; echo went on", PIP_EXIT="3")
    assert failed.returncode == 3
    assert "went on" not in failed.stdout
    assert checkout.source("environment").returncode == 0
    assert len(checkout.installs()) == 2


def test_train_passes_its_arguments_on(checkout: Checkout) -> None:
    done = checkout.bash(str(checkout.root / "scripts" / "train.sh"), "epochs=1", "run=a b")
    assert done.returncode == 0, done.stderr
    assert checkout.log.read_text().splitlines()[-1] == "-m trainer epochs=1 run=a b"


@pytest.mark.parametrize(
    "python",
    [
        "exit 127",  # as pyenv's shims refuse
        'exec "{python}" -c "import sys; sys.version_info = (3, 10, 9); $2"',
        'exec "{python}" -c "import sys; sys.version_info = (3, 14, 0); $2"',
    ],
    ids=["a shim", "too old", "too new"],
)
def test_no_python_is_one_line_that_says_what_to_do(checkout: Checkout, python: str) -> None:
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        path = checkout.commands / name
        path.write_text("#!/bin/sh\n" + python.format(python=sys.executable) + "\n")
        path.chmod(0o755)
    done = checkout.source("environment; echo went on")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Python 3.11 to 3.13" in done.stderr
