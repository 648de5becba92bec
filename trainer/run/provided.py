"""What a job may ask for by name, beside the components of its run."""

import os
from functools import cached_property
from typing import Any, Unpack

from trainer.config.compose import VARIED, in_sweep
from trainer.core.duration import Clock
from trainer.core.signals import Signals
from trainer.distributed.parts import NoLog, SharedSignals
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import Replacements, StepAssembly, assemble, assemble_step
from trainer.run.components import Components, Origin
from trainer.run.inputs import Inputs
from trainer.run.job import Job
from trainer.run.resume import check_data, check_end, checkpoint_to_resume, restore
from trainer.run.settings import on_the_line
from trainer.storage.checkpoint import Checkpoint, set_aside
from trainer.storage.run_folder import RunFolder
from trainer.storage.saved_run import as_list
from trainer.training.fit import Fit
from trainer.training.reporter import Reporter


class Provided(Components):
    """Components with a folder and signals: the training loop, its log, a job's settings."""

    def __init__(
        self,
        config: dict[str, Any],
        folder: RunFolder,
        console: Console,
        **origin: Unpack[Origin],
    ) -> None:
        super().__init__(config, console, **origin)
        self.folder = folder
        self.signals = Signals() if self.world.alone else SharedSignals(self.world)

    @cached_property
    def job(self) -> Job:
        """The job that the config names."""
        return self.make("job", Job)

    @cached_property
    def resumed(self) -> Checkpoint | None:
        """The checkpoint that the run resumes from, None for a new one."""
        if not self.job.resumes or self.config["resume"] is None:
            return None
        found = checkpoint_to_resume(
            self.folder.checkpoints,
            self.config,
            self.known_code,
            self.console,
            self.world,
        )
        if found is not None:
            check_end(found, self.epochs, self.config["steps"])
            check_data(found, self.data_check)
        return found

    @property
    def from_checkpoint(self) -> bool:
        """Whether a checkpoint's weights follow, so that the model needs none."""
        return self.resumed is not None

    @cached_property
    def log(self) -> Log:
        """metrics.jsonl and TensorBoard. Closed when the job ends."""
        if not self.world.is_main:
            return NoLog()
        state = None if self.resumed is None else self.resumed.state
        step = None if state is None else state["progress"]["step"]
        return Log(self.folder.path, self.console.warn, resumed_at=step)

    @cached_property
    def reporter(self) -> Reporter:
        """Writes the log and the console during training."""
        return Reporter(self.log, self.console, self.data, self.epochs)

    @cached_property
    def fit(self) -> Fit:
        """The training loop, resumed from a checkpoint where there is one."""
        fit = self.assemble()
        if self.resumed is not None:
            restore(fit, self.resumed)
            self.console.say(f"resuming from {self.resumed.path}")
            if self.world.is_main:
                renamed = set_aside(self.folder.checkpoints, after=fit.progress.step)
                if renamed:
                    self.console.warn(f"later checkpoints are now called {', '.join(renamed)}")
        return fit

    def assemble(self, **replaced: Unpack[Replacements]) -> Fit:
        """Another training loop over the same model: see `trainer.run.assemble`."""
        return assemble(self, self.folder, self.reporter, self.signals, **replaced)

    def assemble_step(self, clock: Clock, **replaced: Unpack[Replacements]) -> StepAssembly:
        """A train step over the same model: see `trainer.run.assemble`."""
        return assemble_step(self, self.folder, clock, **replaced)

    def inputs(self) -> Inputs:
        """The components that make batches. Opens the data set."""
        return Inputs(
            self.data,
            self.planner,
            self.full_steps,
            self.open_feed,
            self.augmentation,
            self.mixer,
            self.task,
            self.seed,
        )

    @property
    def most_epochs(self) -> int:
        """The setting `epochs`, even if `steps` ends the run earlier."""
        return self.config["epochs"]

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings in TensorBoard's HParams tab: in a sweep those that vary.

        The tab takes its columns from one run, so that all runs of a sweep must have the same.
        Under a launcher that does not say what varies, they are those of the command line.
        """
        if not in_sweep():
            return self.config
        return on_the_line(self.config, self.overrides, os.environ.get(VARIED, "").split())

    @property
    def settings(self) -> dict[str, Any]:
        """All settings, to be shown."""
        return self.config

    @property
    def split(self) -> str:
        """The split that a job reads."""
        return self.config["split"]

    @property
    def steps(self) -> int | None:
        """The steps that end the run, None where its epochs do."""
        return self.config["steps"]

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return self.config["precision"]

    @property
    def thaws(self) -> bool:
        """Whether a frozen part of the model joins the training later."""
        return self.config["finetune"]["unfreeze"] is not None

    @property
    def saved(self) -> str | None:
        """The setting `run`: the folder of a finished run, or a checkpoint of it."""
        return self.config["run"]

    @property
    def several_saved(self) -> list[str]:
        """The setting `runs`, as a list."""
        return as_list(self.config["runs"])

    @property
    def source(self) -> str | None:
        """The setting `source`: image files without labels."""
        return self.config["source"]

    @property
    def metrics(self) -> list[str] | None:
        """The setting `metrics`: those that a table shows, None for its usual ones."""
        return self.config["metrics"]
