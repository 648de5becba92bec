"""The Hydra sweeper of sweep=answer: `hydra/sweeper=answer`."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from trainer.cli.launch import exit_codes
from trainer.core.errors import ConfigError, complain
from trainer.core.signals import deferred
from trainer.core.text import TO_PASTE
from trainer.storage.untrusted import check_entries
from trainer.sweep.answer.settings import TARGET, Limits, Settings
from trainer.sweep.answer.strategies import find_baseline, strategies_of, with_seed
from trainer.sweep.launcher import Subprocess, placed
from trainer.sweep.manifest import Job
from trainer.sweep.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from trainer.sweep.answer.inquiry import Inquiry


class Answer(Sweeper):
    """Runs every strategy of the command line with more and more seeds, until it is decided."""

    def __init__(
        self, *, max_batch_size: int | None, params: dict[str, str] | None, **settings: Any
    ) -> None:
        super().__init__(max_batch_size, params)
        self.settings = settings
        self.composed: dict[tuple[str, ...], DictConfig] = {}  # by overrides

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Check the settings, and store what Hydra passes."""
        plain = {
            k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v
            for k, v in self.settings.items()
        }
        self.limits = Limits.of(plain)
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Find the answer; the exit code is 1 if a run failed."""
        assert self.config is not None  # noqa: S101  (as Hydra's own does)
        folder = Path(str(self.config.hydra.sweep.dir))
        check_entries(folder)  # multirun.yaml is written next
        inquiry = self.inquiry(arguments, folder)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        try:
            stopped = self.run(inquiry)
            if stopped is None:
                self.conclude(inquiry)
        finally:
            if isinstance(self.launcher, Subprocess):
                self.launcher.close()
            self.tidy()
        if stopped is not None:
            self.show(inquiry, "stopped")
            line = shlex.join(["python", "-m", "trainer", *sys.argv[1:]])
            complain(f"stopped by signal {stopped}{TO_PASTE} {line}")
            sys.exit(128 + stopped)
        exit_codes[:] = [int(bool(inquiry.notes))]

    def inquiry(self, arguments: list[str], folder: Path) -> Inquiry:
        """The strategies of the command line and what is known of them."""
        assert self.hydra_context is not None  # noqa: S101
        assert self.config is not None  # noqa: S101
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        batches = super(Sweeper, self).split_arguments(overrides, None)
        strategies, seed = strategies_of([job for batch in batches for job in batch])
        baseline = find_baseline(strategies, self.limits.baseline)
        for i, one in enumerate(strategies):
            if (config := self.try_compose(i, [*one.overrides])) is not None:
                self.composed[one.overrides] = config
        if len(self.composed) < len(strategies):
            raise ConfigError("sweep=answer has not begun: the settings above are wrong")
        from trainer.sweep.answer.inquiry import Inquiry
        from trainer.sweep.answer.table import AnswerTable  # it imports torch: seconds

        show = partial(AnswerTable, quiet=bool(self.config.quiet))
        return Inquiry(strategies, baseline, seed, self.limits, folder, self.admit, show)

    def admit(self, number: int, overrides: list[str]) -> Job:
        """A run with its config, in the folder of its overrides."""
        from trainer.sweep.answer.inquiry import admitted

        assert self.hydra_context is not None  # noqa: S101
        assert self.config is not None  # noqa: S101
        folder = Path(str(self.config.hydra.sweep.dir))
        *own, seed = overrides
        with deferred():
            config = with_seed(self.without_seed(tuple(own)), seed)
            job = placed(config, folder, number, overrides)
        job = admitted(job, folder)
        if isinstance(self.launcher, Subprocess):
            self.launcher.open().add([job])
        return job

    def without_seed(self, overrides: tuple[str, ...]) -> DictConfig:
        """The config of a strategy, or of its search, composed once."""
        assert self.hydra_context is not None  # noqa: S101
        if overrides not in self.composed:
            load = self.hydra_context.config_loader.load_sweep_config
            self.composed[overrides] = load(self.config, [*overrides])  # pyright: ignore
        return self.composed[overrides]

    def run(self, inquiry: Inquiry) -> int | None:
        """Run all that is wanted. Returns the signal that stopped it, if any."""
        if isinstance(self.launcher, Subprocess):
            self.launcher.open()
            stopped = self.launcher.run([], inquiry)
            inquiry.save()
            return stopped
        self.run_rounds(inquiry)
        return None

    def show(self, inquiry: Inquiry, about: str) -> None:
        """Print what is known so far."""
        from trainer.report.console import rich_console, show
        from trainer.sweep.answer.table import drawing

        assert self.config is not None  # noqa: S101
        show(rich_console(quiet=bool(self.config.quiet)), drawing(inquiry, about))

    def run_rounds(self, inquiry: Inquiry) -> None:
        """The same with a launcher that runs a batch of jobs to its end."""
        number = 0
        while inquiry.wanted and (jobs := inquiry.round()) is not None:
            if jobs:
                self.run_round(jobs, number, inquiry)
                number += len(jobs)
                self.show(inquiry, f"{number} runs")

    def run_round(self, jobs: list[Job], number: int, inquiry: Inquiry) -> None:
        """Run jobs to their ends, and take their results."""
        assert self.launcher is not None  # noqa: S101
        lines = [[*job.overrides, *["resume=auto"] * bool(job.status)] for job in jobs]
        returned = self.launcher.launch(lines, initial_job_idx=number)
        for job, one in zip(jobs, returned, strict=True):
            job.exit_code = int(one.return_value)  # pyright: ignore
            stopped = "preempted" if job.exit_code > 128 else "failed"
            job.state = stopped if job.exit_code else "finished"
            job.error = job.status.get("error") if job.exit_code else None
            inquiry.ended(job)

    def conclude(self, inquiry: Inquiry) -> None:
        """Compare the runs, write the files, and print the answer."""
        from trainer.sweep.answer.conclude import conclude

        assert self.hydra_context is not None  # noqa: S101
        assert self.config is not None  # noqa: S101
        conclude(inquiry, self.hydra_context, self.config)


def register() -> None:
    """Add the option `hydra/sweeper=answer`, which otherwise takes a plugin package."""
    store = ConfigStore.instance()
    store.store(group="hydra/sweeper", name="answer", node=Settings, provider="trainer")


def install() -> None:
    """Make Hydra find the sweeper's class by TARGET."""
    Plugins.instance().class_name_to_class[TARGET] = Answer
