"""Output for people: a progress bar on a terminal, plain lines elsewhere, all in train.log."""

import math
import time
from pathlib import Path
from typing import IO

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

REFRESH = 0.1  # seconds between updates of the progress bar


class Console:
    """Prints to the terminal unless `quiet`, and to a log file once one is open.

    `silent` suppresses warnings too: for all processes but the first.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False) -> None:
        self.screen = RichConsole(quiet=quiet or silent, highlight=False, soft_wrap=True)
        self.errors = RichConsole(stderr=True, quiet=silent, highlight=False, soft_wrap=True)
        self.file: IO[str] | None = None
        self.progress: Progress | None = None
        self.refreshed = 0.0
        self.note = ""

    def open(self, path: Path) -> None:
        """Append everything from now on to the file at `path` as well."""
        self.file = path.open("a")

    def say(self, content: RenderableType) -> None:
        """Print a line or a table."""
        self.screen.print(content)
        self.record(content)

    def warn(self, text: str) -> None:
        """Print a warning to stderr, even if `quiet`."""
        self.errors.print(f"warning: {text}", markup=False)
        self.record(f"warning: {text}")

    def record(self, content: RenderableType) -> None:
        """Write to the log file only. An error turns the file off with a warning."""
        if self.file is None:
            return
        try:
            RichConsole(file=self.file, width=100, highlight=False, soft_wrap=True).print(content)
            self.file.flush()
        except OSError as error:
            self.file = None
            self.warn(f"no longer writing train.log: {error}")

    def start(self, total: int, done: int) -> None:
        """Show a progress bar of `total` steps, `done` of them finished. Needs a terminal."""
        if not self.screen.is_terminal or self.screen.quiet:
            return
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.screen,
            transient=True,
            auto_refresh=False,
        )
        self.progress.add_task("steps", total=total, completed=done, note="")
        self.progress.start()

    def advance(self, step: int, note: str = "") -> None:
        """Move the bar to `step`, with a note beside it; redraws ten times a second at most."""
        if self.progress is None or (not note and time.monotonic() - self.refreshed < REFRESH):
            return
        self.refreshed = time.monotonic()
        self.note = note or self.note
        self.progress.update(self.progress.task_ids[0], completed=step, note=self.note)
        self.progress.refresh()

    def stop(self) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def close(self) -> None:
        """Remove the progress bar and close the file."""
        self.stop()
        if self.file is not None:
            self.file.close()
            self.file = None


def number(value: float) -> str:
    """A metric with four decimals; a dash if it is NaN, having no example."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """Make a table with the first column left-aligned and the others right-aligned."""
    result = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        result.add_column(name, justify="right" if i else "left")
    for row in rows:
        result.add_row(*row)
    return result
