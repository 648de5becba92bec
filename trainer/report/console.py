"""What a person sees: a live display on a terminal, plain lines elsewhere, all in train.log."""

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

REFRESH = 0.1  # seconds


class Console:
    """Prints to the terminal unless `quiet`, and to a log file once there is one.

    A `silent` one, of a process that is not the first, does not even warn.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False) -> None:
        self.screen = RichConsole(quiet=quiet or silent, highlight=False, soft_wrap=True)
        self.errors = RichConsole(stderr=True, quiet=silent, highlight=False, soft_wrap=True)
        self.file: IO[str] | None = None
        self.progress: Progress | None = None
        self.refreshed = 0.0
        self.note = ""

    def open(self, path: Path) -> None:
        """Write what is said from now on to a file too."""
        self.file = path.open("a")

    def say(self, what: RenderableType) -> None:
        """Print a line or a table."""
        self.screen.print(what)
        self.record(what)

    def warn(self, text: str) -> None:
        """Print a warning, `quiet` or not."""
        self.errors.print(f"warning: {text}", markup=False)
        self.record(f"warning: {text}")

    def record(self, what: RenderableType) -> None:
        """Write to the log file alone; a full disk does not stop the run."""
        if self.file is None:
            return
        try:
            RichConsole(file=self.file, width=100, highlight=False, soft_wrap=True).print(what)
            self.file.flush()
        except OSError as error:
            self.file = None
            self.warn(f"train.log is no longer written: {error}")

    def start(self, total: int, done: int) -> None:
        """Show the progress of a run of `total` steps, on a terminal."""
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
        """Move the display to a step; redrawn ten times a second at most."""
        if self.progress is None or (not note and time.monotonic() - self.refreshed < REFRESH):
            return
        self.refreshed = time.monotonic()
        self.note = note or self.note
        self.progress.update(self.progress.task_ids[0], completed=step, note=self.note)
        self.progress.refresh()

    def stop(self) -> None:
        """End the display."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def close(self) -> None:
        """End the display and close the file."""
        self.stop()
        if self.file is not None:
            self.file.close()
            self.file = None


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """A table; the first column is left-aligned, the others right."""
    made = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        made.add_column(name, justify="right" if i else "left")
    for row in rows:
        made.add_row(*row)
    return made
