"""Builds hostile run folders. A payload touches a file in the test's own folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from support import config_of, train

from trainer.__main__ import CONF
from trainer.cli import launch
from trainer.cli.execute import execute


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def evaluate(folder: Path, *overrides: str) -> int:
    arguments = ["job=evaluate", "quiet=true", "device=cpu", *overrides]
    return execute(config_of(*arguments), folder, arguments, [str(CONF)])


def only_checkpoint(folder: Path) -> Path:
    (path,) = (folder / "checkpoints").iterdir()
    return path


def in_process(folder: Path, *overrides: str) -> int:
    """Run a job; return its exit code, with errors on stderr as the command line writes them."""
    try:
        return train(folder, *overrides)
    except Exception as error:
        return launch.report_error(error, overrides, debug=False)


def changed(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))
    return path
