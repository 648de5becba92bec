"""One run: hands its job what it asks for; writes its result and its status."""

import hashlib
import json
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Unpack
from urllib.error import URLError

import torch
import yaml

import trainer
from trainer.config.build import check_signature
from trainer.config.compose import CONF
from trainer.config.run_names import command
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
from trainer.core.signals import cause_of, immediate, settle
from trainer.core.text import TO_PASTE
from trainer.distributed.world import leave
from trainer.optimizer.shared.groups import small_model
from trainer.report.console import Console
from trainer.run import memory
from trainer.run.components import Origin
from trainer.run.job import values_for
from trainer.run.machine import machine
from trainer.run.monitors import check_monitors, check_shown, monitored
from trainer.run.provided import Provided
from trainer.run.resume import is_complete
from trainer.storage.run_folder import RunFolder, write_json

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


class Run(Provided):
    """One run: does its job, and keeps the folder's status, result and errors.

    `services` are functions that a job may ask for by name beside the run's own values. What a
    signal did to a run `of_search`, one of its trials, the search says itself.
    """

    def __init__(
        self,
        config: dict[str, Any],
        folder: RunFolder,
        console: Console,
        *,
        services: Mapping[str, Callable[..., object]] | None = None,
        of_search: bool = False,
        **origin: Unpack[Origin],
    ) -> None:
        super().__init__(config, folder, console, **origin)
        self.begun = False  # whether the folder's status is this run's
        self.services = {} if services is None else services
        self.of_search = of_search
        if not self.world.alone:
            self.world.on_failure(partial(folder.write_status, "failed"))
        self.signals.last_words = self.write_preempted

    def validate(self) -> None:
        """Build every component that needs no data, to refuse bad settings before it is read."""
        job = self.job
        for name in NEED_NO_DATA:
            getattr(self, name)
        self.schedule.prepare()
        model = self.config["model"]
        check_signature(model, "model", "shape", "outputs", "words")  # building it needs the data
        self.check_optimizer()
        if not (self.world.alone or job.parallel):
            raise ConfigError(
                f"job={option_of(job)} runs in one process; start it without torchrun"
            )
        if job.needs_data:  # read now, so that a missing data set leaves no folder
            chosen_by = self.config["checkpoint"]["monitor"]
            monitors = monitored(chosen_by, self.early_stopping, self.schedule, self.data)
            check_monitors(monitors, self.task, self.data)
            check_shown(self.metrics, self.task, self.data, self.postprocess.measures)

    def check_optimizer(self) -> None:
        """Try one step: some of torch's optimizers need a closure, or sparse gradients."""
        probe = small_model()
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
                if self.world.is_main:
                    self.console.open(self.folder.path / "train.log")
                with self.interruptible():
                    self.resume()
                self.begin()
                with self.interruptible():
                    result = self.do()
                self.end(result | self.about(time.perf_counter() - began))
            except (Exception, Interrupted) as error:
                return self.fail(cause_of(error))
        return 0

    def interruptible(self) -> AbstractContextManager[None]:
        """Stop at a signal, wherever it comes; a process of several stops only with the others."""
        return immediate() if self.world.alone else nullcontext()

    def resume(self) -> None:
        """Load the checkpoint: one that does not fit is refused before anything is written."""
        if self.resumed is None:
            return
        try:
            _ = self.fit
        except BaseException:
            self.close_log()
            raise

    def close_log(self) -> None:
        """Close the log, if one is open."""
        if "log" in vars(self):
            self.log.close()

    def begin(self) -> None:
        """Write the status and the settings."""
        self.begun = True
        self.folder.write_status("running")
        if self.world.is_main:
            path = self.folder.path / "config.yaml"
            path.write_text(yaml_of(self.config), encoding="utf-8")

    def end(self, result: dict[str, Any]) -> None:
        """Write the result and the status."""
        if self.world.is_main:
            write_json(self.folder.path / "result.json", result)
        self.folder.write_status("finished", 0)

    def write_preempted(self, number: int) -> None:
        """Write the status that a signal leaves."""
        error = Interrupted(number)
        self.write_failure("preempted", error.exit_code, self.stopped_by(error))

    def stopped_by(self, error: Interrupted) -> str:
        """What to say about a signal: with the command that continues, if the run had begun."""
        if not self.begun:
            return str(error)
        path, here = self.folder.path.absolute(), Path.cwd()
        how = command(
            path.relative_to(here) if path.is_relative_to(here) else path,
            processes=self.world.size,
            config_folders=[source for source in self.sources if source != str(CONF)],
        )
        return f"{error}{TO_PASTE} {how}"

    def write_failure(self, state: str, code: int, text: str) -> None:
        """Write a status, unless what failed is the attempt to go on with an earlier run."""
        if self.begun or not self.folder.status:
            self.folder.write_status(state, code, text)

    def is_complete(self) -> bool:
        """Whether the folder has this very run, finished; raises ConfigError for another."""
        complete: bool | TrainerError = False
        if self.world.is_main:
            try:
                complete = is_complete(self.folder, self.config, self.job)
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
            self.close_log()
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
        if isinstance(error, Interrupted):
            text = self.stopped_by(error)
        code, text, speaks = self.world.verdict(error, code, text)
        if speaks and not (self.of_search and isinstance(error, Interrupted)):
            complain(text if known else f"{text}; debug=true shows where")
        self.console.record(text)
        state = "preempted" if isinstance(error, Interrupted) else "failed"
        with suppress(DiskError):  # the line has been written
            self.write_failure(state, code, text)
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
            "machine": machine(self.device),
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
            "versions": {
                "trainer": trainer.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }


def yaml_of(config: dict[str, Any]) -> str:
    """Return a config as YAML.

    libyaml takes a quarter of the time, but escapes emoji, and refuses a name that is not UTF-8.
    """
    ascii_only = json.dumps(config, ensure_ascii=False, default=str).isascii()
    fast = yaml.__with_libyaml__ and ascii_only
    dumper = yaml.CSafeDumper if fast else yaml.SafeDumper
    return yaml.dump(config, Dumper=dumper, sort_keys=False, allow_unicode=True)
