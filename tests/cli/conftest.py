"""The command line in process."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from trainer.__main__ import main
from trainer.cli import folders

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in process, in an empty folder: exit code, stdout, stderr."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # which the program sets: other tests start Python
    monkeypatch.setattr(folders, "created", [])

    def run(*arguments: str) -> tuple[int, str, str]:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None
        monkeypatch.setattr(sys, "argv", ["trainer", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        written = capsys.readouterr()
        return exit_.value.code or 0, written.out, written.err  # pyright: ignore

    return run


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The overrides of the jobs that started; instead of training, each returns 0."""
    started: list[list[str]] = []

    def execute(config: object, folder: Path, overrides: list[str], sources: list[str]) -> int:
        started.append(overrides)
        (folder / "status.json").write_text("{}")
        return 0

    monkeypatch.setattr("trainer.cli.execute.execute", execute)
    return started
