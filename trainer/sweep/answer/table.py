"""An answer sweep on the console: a row for each strategy, and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.report.console import table
from trainer.sweep.answer.settings import duration
from trainer.sweep.answer.text import columns, rows
from trainer.sweep.table import JobsTable

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
        if self.live is not None:
            self.live.stop()
            self.live = None
        self.print_decisions()

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
        """The table."""
        counts = ", ".join(f"{n} {state}" for state, n in self.manifest.counts().items())
        return drawing(self.inquiry, counts)


def drawing(inquiry: Inquiry, counts: str, images: Mapping[str, str] | None = None) -> Table:
    """The table of an inquiry: `counts` of its runs, the time left, a row for each strategy."""
    left = inquiry.left
    time_left = "" if left is None else f"; {duration(left)} left"
    title = f"{inquiry.folder.name}: {counts or 'no runs'}{time_left}"
    return table(title, columns(inquiry, images), rows(inquiry, images))
