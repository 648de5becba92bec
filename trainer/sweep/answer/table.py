"""An answer sweep on the console: a row for each strategy, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.report.console import table
from trainer.report.fitting import natural_width
from trainer.sweep.answer.settings import duration
from trainer.sweep.answer.text import columns, rows
from trainer.sweep.table import JobsTable, cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from trainer.sweep.answer.inquiry import Inquiry
    from trainer.sweep.manifest import Job, Manifest


class AnswerTable(JobsTable):
    """Shows what is known of each strategy; elsewhere than on a terminal, each run and decision."""

    def __init__(self, inquiry: Inquiry, manifest: Manifest, *, quiet: bool) -> None:
        super().__init__(manifest, quiet=quiet)
        self.inquiry = inquiry
        self.verdicts: dict[str, str] = {}

    def __enter__(self) -> AnswerTable:
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is None:
            self.print_decisions()
            return
        self.live.transient = True  # the final table follows
        self.live.stop()
        self.live = None

    def print_line(self, job: Job) -> None:
        """Print a run's new state, and what it has decided."""
        super().print_line(job)
        if self.live is None:
            self.print_decisions()

    def refresh(self) -> None:
        """Redraw the table, at most twice a second."""
        super().refresh()
        self.inquiry.keep_time()

    def print_decisions(self) -> None:
        """Print a line for each strategy that has been decided since the last time."""
        for label, one in self.inquiry.evidence.findings.items():
            if one.decided and label not in self.verdicts:
                self.verdicts[label] = one.verdict
                self.screen.print(f"{label}: {one.verdict} after {one.looked} seeds")

    def drawing(self) -> Table:
        """The table, as wide as the terminal at most."""
        counts = ", ".join(f"{n} {state}" for state, n in self.manifest.counts().items())
        return narrowed(self.inquiry, counts, self.screen.width)


def drawing(inquiry: Inquiry, counts: str, images: Mapping[str, str] | None = None) -> Table:
    """The table of an inquiry: `counts` of its runs, the time left, a row for each strategy."""
    return table(title(inquiry, counts), columns(inquiry, images), rows(inquiry, images))


def title(inquiry: Inquiry, counts: str) -> str:
    """The folder's name, `counts` of its runs, the time left."""
    left = inquiry.left
    time_left = "" if left is None else f"; {duration(left)} left"
    return f"{inquiry.folder.name}: {counts or 'no runs'}{time_left}"


def narrowed(inquiry: Inquiry, counts: str, width: int) -> Table:
    """The table with a line for each strategy: without the columns that matter least, then cut."""
    heading, names, lines = title(inquiry, counts), columns(inquiry), rows(inquiry)
    for spare in ("Holm p", names[names.index("runs") + 1], "tuned", "val", "runs"):
        if natural_width(table(heading, names, lines)) <= width:
            break
        if spare in names:
            place = names.index(spare)
            names, *lines = ([*row[:place], *row[place + 1 :]] for row in (names, *lines))
            lines = [[*row[:-1], row[-1].removeprefix("undecided, ")] for row in lines]
    room = width - natural_width(table(heading, names, lines)) + max(len(row[0]) for row in lines)
    return table(heading, names, [[cut(row[0], room), *row[1:]] for row in lines])
