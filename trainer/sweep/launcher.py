"""A Hydra launcher that runs each job of a sweep in its own process, so that none ends another.

`hydra/launcher=subprocess`, the default of `-m`. Running the same sweep again skips finished jobs
and resumes the others from their latest checkpoints.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from trainer.config.compose import VARIED
from trainer.core.ranges import within
from trainer.core.signals import deferred
from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.places import Places

if TYPE_CHECKING:
    from trainer.sweep.feed import Feed

TARGET = "hydra_plugins.trainer.Subprocess"  # Hydra instantiates no plugin outside hydra_plugins


@dataclass
class Settings:
    """The settings of `hydra.launcher`."""

    _target_: str = TARGET
    n_jobs: int | None = None  # processes at a time; null: one for each GPU, or one
    retries: int = 0  # further attempts at a job that failed or was killed
    warm: bool = True  # fork jobs from a process that has torch; false: start Python for each


class Subprocess(Launcher):
    """Runs each job in a process of its own, `n_jobs` at a time."""

    def __init__(self, *, n_jobs: int | None, retries: int, warm: bool) -> None:
        self.n_jobs = n_jobs
        self.retries = retries
        self.warm = warm
        self.numbers: list[int] = []
        self.refused: list[Job] = []
        self.composed: dict[int, DictConfig | None] = {}
        self.manifest: Manifest | None = None

    def announce(self, composed: dict[int, DictConfig | None], refused: list[Job]) -> None:
        """Take the configs of the jobs that can run, by number, and the jobs that are refused."""
        self.numbers, self.composed, self.refused = list(composed), composed, refused

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store what Hydra passes, and check the launcher's own settings."""
        self.context = hydra_context
        self.task_function = task_function
        self.config = config
        if self.n_jobs is not None:
            within("hydra.launcher.n_jobs", self.n_jobs, "[1, inf)")
        within("hydra.launcher.retries", self.retries, "[0, inf)")

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs; after a signal, exit once the running ones have saved."""
        manifest = self.open()
        numbers = self.numbers or range(initial_job_idx + len(job_overrides))
        jobs = [
            self.compose(number, list(overrides))
            for number, overrides in zip(numbers[initial_job_idx:], job_overrides, strict=False)
        ]
        self.places.assign(jobs)
        manifest.add(jobs)
        stopped = self.run(jobs)
        from trainer.sweep import folds  # it needs numpy, which --help does not

        if (about := folds.pool(manifest)) is not None and not self.config.quiet:
            sys.stdout.write(f"{about}\n")
        if stopped is not None:
            sys.exit(128 + stopped)
        return [job_return(job) for job in jobs]

    def open(self) -> Manifest:
        """Lock the sweep's folder, once."""
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        if self.manifest is None:
            self.manifest = Manifest(Path(str(self.config.hydra.sweep.dir)), self.refused)
            self.places = Places(self.manifest.path)
        return self.manifest

    def run(self, jobs: Sequence[Job], feed: "Feed | None" = None) -> int | None:
        """Run jobs and those that a feed names. Returns the signal that stopped the sweep."""
        from trainer.sweep.pool import Pool

        manifest = self.open()
        varied = manifest.varied_settings() if feed is None else feed.varied
        os.environ[VARIED] = " ".join(varied)
        pool = Pool(manifest, self.context, self.task_function, feed)
        stopped = pool(jobs, n_jobs=self.n_jobs, retries=self.retries, warm=self.warm)
        manifest.finish(stopped, complete=feed is None)
        return stopped

    def close(self) -> None:
        """Release the lock on the sweep's folder."""
        if self.manifest is not None:
            self.manifest.release()

    def compose(self, number: int, overrides: list[str]) -> Job:
        """A job with its config, which the sweeper may have composed, and its own folder."""
        assert self.manifest is not None  # noqa: S101
        with deferred():  # as the sweeper does
            config = self.composed.pop(number, None)
            if config is None:
                config = self.context.config_loader.load_sweep_config(self.config, overrides)
            return placed(config, self.manifest.path, number, overrides)


def placed(own: DictConfig, sweep: Path, number: int, overrides: list[str]) -> Job:
    """A job with the config `own`, in the folder that this names."""
    with open_dict(own):
        own.hydra.job.id = own.hydra.job.num = number
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(own)  # a folder's name may refer to it
        folder = sweep / str(own.hydra.sweep.subdir)
    finally:
        HydraConfig.instance().cfg = before
    return Job(number, overrides, folder, own)


def job_return(job: Job) -> JobReturn:
    """A job's result as Hydra's sweepers expect it; the value is the exit code."""
    code = 0 if job.done else job.exit_code or 1
    return JobReturn(
        overrides=job.overrides, cfg=job.config, status=JobStatus.COMPLETED, _return_value=code
    )


def register() -> None:
    """Add the option `hydra/launcher=subprocess`, which otherwise takes a plugin package."""
    store = ConfigStore.instance()
    store.store(group="hydra/launcher", name="subprocess", node=Settings, provider="trainer")


def install() -> None:
    """Make Hydra find the launcher's class by TARGET."""
    Plugins.instance().class_name_to_class[TARGET] = Subprocess
