"""Where the jobs of a sweep come from while it runs; this one has none to add."""

from collections.abc import Sequence

from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.table import JobsTable


class Feed:
    """Names jobs as slots become free, and is told how each has ended."""

    varied: Sequence[str] = ()  # the names of the settings in which its jobs differ

    @property
    def wanted(self) -> bool:
        """Whether there may be more jobs."""
        return False

    @property
    def over(self) -> bool:
        """Whether the jobs that still run are no longer needed."""
        return False

    def more(self, room: int) -> Sequence[Job]:
        """At most `room` jobs to start now."""
        return ()

    def ended(self, job: Job) -> None:
        """Take a job that has ended and is not tried again."""

    def table(self, manifest: Manifest, *, quiet: bool) -> JobsTable:
        """What shows the jobs on the console."""
        return JobsTable(manifest, quiet=quiet)
