"""Output for people: a progress bar on a terminal, plain lines elsewhere, all in train.log."""

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from trainer.core.text import plain, replace_unencodable, wrapped
from trainer.report.fitting import fitted, natural_width
from trainer.report.streams import take_losses

REFRESH = 0.1  # seconds between updates of the progress bar


class Console:
    """Prints to the terminal unless `quiet`, and to a log file once one is open.

    `silent` suppresses warnings too: for all processes but the first.
    """

    def __init__(self, *, quiet: bool = False, silent: bool = False) -> None:
        replace_unencodable()
        self.screen = rich_console(quiet=quiet or silent)
        self.errors = rich_console(quiet=silent, stderr=True)
        self.file: IO[str] | None = None
        self.progress: Progress | None = None
        self.refreshed = 0.0
        self.note = ""

    def open(self, path: Path) -> None:
        """Append everything from now on to the file at `path` as well."""
        self.file = path.open("a", encoding="utf-8")

    def say(self, content: str | Table) -> None:
        """Print a line or a table."""
        show(self.screen, content)
        self.record(content)
        for loss in take_losses():
            self.warn(f"{loss}; the run goes on without it")

    def warn(self, text: str) -> None:
        """Print a warning to stderr, even if `quiet`."""
        show(self.errors, f"warning: {text}")
        self.record(f"warning: {text}")

    def record(self, content: str | Table) -> None:
        """Write to the log file only. An error turns the file off with a warning."""
        if self.file is None:
            return
        try:
            show(rich_console(file=self.file), content)
            self.file.flush()
        except OSError as error:
            self.file = None
            self.warn(f"no longer writing train.log: {error}")

    def start(self, total: int, done: int) -> None:
        """Show a progress bar of `total` steps, `done` of them finished. Needs a terminal."""
        if not self.screen.is_terminal or self.screen.quiet:
            return
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("elapsed,"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.screen,
            expand=True,
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
            with suppress(OSError):
                self.file.close()
            self.file = None


def number(value: float) -> str:
    """A metric with four decimals; a dash if it is NaN, having no example."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def rich_console(**options: Any) -> RichConsole:
    """Make a console of rich's in which brackets and colons are text, not markup."""
    return RichConsole(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)


def show(screen: RichConsole, content: str | Table) -> None:
    """Print a line, or a table: as wide as it is, but on a terminal no wider than that.

    A line loses its control characters; the cells of a `table` have none.
    """
    if screen.quiet:  # rich would lay it out all the same
        return
    if isinstance(content, str):
        if screen.is_terminal:
            screen.print(wrapped(plain(content), screen.width))
        else:  # what rich would write, in a fortieth of the time
            screen.file.write(f"{plain(content)}\n")
            screen.file.flush()
        return
    width = natural_width(content)
    if screen.is_terminal and width > screen.width:
        fit = fitted(content, screen.width)
        screen.print(*([fit] if isinstance(fit, Table) else fit), sep="\n")
        return
    screen.width = max(screen.width, width)
    screen.print(content)


def table(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """Make a table with the first column left-aligned and the others right-aligned."""
    result = Table(title=plain(title), title_justify="left")
    for i, name in enumerate(columns):
        result.add_column(plain(name), justify="right" if i else "left")
    for row in rows:
        result.add_row(*map(plain, row))
    return result
