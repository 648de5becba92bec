"""One run: hands its job what it asks for; writes its result and its status."""

import hashlib
import json
import platform
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from typing import Any
from urllib.error import URLError

import torch
import yaml
from torch import nn

import trainer
from trainer.augmentation import Augmentation
from trainer.config.build import check_signature
from trainer.core.duration import Clock
from trainer.core.errors import (
    ConfigError,
    DiskError,
    Interrupted,
    OutOfMemoryError,
    TrainerError,
    complain,
    disk_error,
)
from trainer.core.option import option_of
from trainer.core.signals import Signals, cause_of, immediate, settle
from trainer.dataset import Data
from trainer.distributed.parts import NoLog, SharedSignals
from trainer.distributed.world import ALONE, World, leave
from trainer.mining import Miner
from trainer.mixer import Mixer
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run import memory
from trainer.run.assemble import StepAssembly, assemble, assemble_step
from trainer.run.components import Components, Restorer
from trainer.run.groups import Stopper
from trainer.run.inputs import Inputs
from trainer.run.job import Job, values_for
from trainer.run.monitors import check_monitors, monitored
from trainer.run.resume import checkpoint_to_resume, is_complete, restore
from trainer.storage.checkpoint import Checkpoint, set_aside
from trainer.storage.run_folder import RunFolder, write_json
from trainer.storage.saved_run import as_list
from trainer.training.fit import Fit
from trainer.training.reporter import Reporter

NETWORK = (ConnectionError, TimeoutError, URLError)  # errors of the system, but of no file
NEED_NO_DATA = [
    "device",
    "task",
    "dataset",
    "loader",
    "init",
    "augmentation",
    "mixer",
    "sampler",
    "loss",
    "miner",
    "distiller",
    "schedule",
    "warmup",
    "early_stopping",
    "postprocess",
    "interval",
]


class Run(Components):
    """One run: components, a job, a folder, signals.

    `services` are functions that a job may ask for by name beside the run's own values.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: RunFolder,
        console: Console,
        *,
        overrides: Sequence[str] = (),
        sources: Sequence[str] = (),
        world: World = ALONE,
        restorer: Restorer,
        stopper: Stopper = lambda own: own,
        opened: dict[str, Data] | None = None,
        services: Mapping[str, Callable[..., object]] | None = None,
    ) -> None:
        super().__init__(
            config,
            console,
            overrides=overrides,
            sources=sources,
            world=world,
            restorer=restorer,
            stopper=stopper,
            opened=opened,
        )
        self.folder = folder
        self.services = {} if services is None else services
        if self.world.alone:
            self.signals = Signals()
        else:
            self.signals = SharedSignals(self.world)
            self.world.on_failure(partial(folder.write_status, "failed"))
        self.signals.last_words = self.write_preempted

    @cached_property
    def job(self) -> Job:
        """The job that the config names."""
        return self.make("job", Job)

    def validate(self) -> None:
        """Build every component that needs no data, to refuse bad settings before it is read."""
        job = self.job
        for name in NEED_NO_DATA:
            getattr(self, name)
        self.schedule.prepare()
        model = self.config["model"]
        check_signature(model, "model", "shape", "outputs")  # building it needs the data's shape
        self.check_optimizer()
        if not (self.world.alone or job.parallel):
            raise ConfigError(
                f"job={option_of(job)} runs in one process; start it without torchrun"
            )
        if job.needs_data:  # read now, so that a missing data set leaves no folder
            chosen_by = self.config["checkpoint"]["monitor"]
            monitors = monitored(chosen_by, self.early_stopping, self.schedule, self.data)
            check_monitors(monitors, self.task, self.data)

    def check_optimizer(self) -> None:
        """Try one step: some of torch's optimizers need a closure, or sparse gradients."""
        probe = torch.nn.utils.skip_init(nn.Linear, 2, 2)  # draws no random number
        optimizer = self.plain_optimizer(probe)
        for parameter in probe.parameters():
            parameter.grad = torch.zeros_like(parameter)
        try:
            optimizer.step()
        except (TypeError, RuntimeError) as error:
            target = self.config["optimizer"]["_target_"]
            raise ConfigError(f"optimizer._target_={target} cannot train here: {error}") from error

    def start(self) -> int:
        """Do the job and keep the folder's status. Returns the exit code."""
        if self.is_complete():
            self.console.say(f"{self.folder.path} is finished")
            return 0
        began = time.perf_counter()
        with self.signals:
            try:
                self.begin()
                # A process of several may stop only with the others.
                with immediate() if self.world.alone else nullcontext():
                    result = self.do()
                self.end(result | self.about(time.perf_counter() - began))
            except (Exception, Interrupted) as error:
                return self.fail(cause_of(error))
        return 0

    def begin(self) -> None:
        """Write the status and the settings, and open the log."""
        self.folder.write_status("running")
        if self.world.is_main:
            text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
            (self.folder.path / "config.yaml").write_text(text)
            self.console.open(self.folder.path / "train.log")

    def end(self, result: dict[str, Any]) -> None:
        """Write the result and the status."""
        if self.world.is_main:
            write_json(self.folder.path / "result.json", result)
        self.folder.write_status("finished", 0)

    def write_preempted(self, number: int) -> None:
        """Write the status that a signal leaves."""
        error = Interrupted(number)
        self.folder.write_status("preempted", error.exit_code, str(error))

    def is_complete(self) -> bool:
        """Whether the folder has this very run, finished; raises ConfigError for another."""
        complete: bool | TrainerError = False
        if self.world.is_main:
            try:
                complete = is_complete(self.folder, self.config, self.job, self.console)
            except TrainerError as error:
                complete = error
        complete = self.world.broadcast(complete)
        if isinstance(complete, TrainerError):
            raise complete
        return complete

    def poll(self) -> None:
        """Raise Interrupted where a signal has asked the run to stop."""
        self.signals.raise_if_stopped()

    def do(self) -> dict[str, Any]:
        """Run the job and return its result; close the log, if it opened one."""
        try:
            result: Any = self.job(**values_for(self.job, self, self.services))
        finally:
            if "log" in vars(self):
                self.log.close()
        if not isinstance(result, dict):
            target, got = self.config["job"]["_target_"], type(result).__name__
            raise ConfigError(f"job._target_={target} must return a dict of results, got {got}")
        return result

    def fail(self, error: BaseException) -> int:
        """Write the failed status and print one line. Returns the exit code."""
        settle()
        self.console.stop()
        if memory.is_full(error) and not isinstance(error, TrainerError):
            sizes = (f"{name}={self.config[name]}" for name in ("batch_size", "eval_batch_size"))
            error = OutOfMemoryError(
                f"out of memory on {self.device} with {' and '.join(sizes)}; "
                "lower them, or raise accumulate"
            )
        elif isinstance(error, OSError) and not isinstance(error, NETWORK):
            error = disk_error(error, self.folder.path)
        elif isinstance(error, ValueError) and not self.config["debug"]:
            error = ConfigError(str(error))
        known = isinstance(error, (TrainerError, Interrupted))
        code = error.exit_code if known else 1
        if self.config["debug"]:
            traceback.print_exception(error)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        code, text, speaks = self.world.verdict(error, code, text)
        if speaks and not getattr(error, "told", False):
            complain(text if known else f"{text}; debug=true shows where")
        self.console.record(text)
        state = "preempted" if isinstance(error, Interrupted) else "failed"
        with suppress(DiskError):  # the line has been written
            self.folder.write_status(state, code, text)
        if not self.world.agreed(error):
            leave(code, agreed=False)
        return code

    def about(self, seconds: float) -> dict[str, Any]:
        """The entries of result.json that every job has: time, memory, config hash, versions."""
        text = json.dumps(self.config, sort_keys=True)
        return {
            "seconds": seconds,
            "peak_memory_bytes": memory.peak(self.device),
            "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
            "versions": {
                "trainer": trainer.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    # What a job may ask for, beside the components.

    @cached_property
    def resumed(self) -> Checkpoint | None:
        """The checkpoint that the run resumes from, None for a new one."""
        if not self.job.resumes or self.config["resume"] is None:
            return None
        return checkpoint_to_resume(
            self.folder.checkpoints,
            self.config,
            self.known_code,
            self.console,
            self.world,
        )

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
        return Log(
            self.folder.path,
            self.console.warn,
            resumed_at=None if state is None else state["progress"]["step"],
            offset=0 if state is None else state["log"],
        )

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

    def assemble(self, *, miner: Miner | None = None, tolerant: bool = False) -> Fit:
        """Another training loop over the same model: see `trainer.run.assemble`."""
        parts = self.folder, self.reporter, self.signals
        return assemble(self, *parts, miner=miner, tolerant=tolerant)

    def assemble_step(
        self,
        clock: Clock,
        *,
        miner: Miner | None = None,
        mixer: Mixer | None = None,
        augmentation: list[Augmentation] | None = None,
        tolerant: bool = False,
    ) -> StepAssembly:
        """A train step over the same model: see `trainer.run.assemble`."""
        return assemble_step(
            self,
            self.folder,
            clock,
            miner=miner,
            mixer=mixer,
            augmentation=augmentation,
            tolerant=tolerant,
        )

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
