"""The setting of a race, the contract of a rival, and the trainer as a rival."""

import atexit
import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from trainer.__main__ import CONF, register
from trainer.cli.execute import make_run as new_run
from trainer.report.console import Console
from trainer.run.memory import keep_freed_memory
from trainer.run.run import Run
from trainer.storage.run_folder import RunFolder
from trainer.training.fit import Fit


@dataclass(frozen=True)
class Setting:
    """The settings that all rivals of a race share."""

    root: str
    images: int  # of an epoch
    batch_size: int
    model: str = ""
    threads: int = 1
    workers: int = 0
    device: str = "cpu"
    overrides: tuple[str, ...] = ()  # of the runner alone


class Rival(ABC):
    """A program that decodes the images, or trains on them, epoch by epoch."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting = setting
        self.folder = folder  # its own, empty
        torch.set_num_threads(setting.threads)
        torch.manual_seed(0)
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Set up everything that is not timed."""

    @abstractmethod
    def epoch(self) -> int:
        """Run an epoch; return its number of images."""

    def speed(self) -> float:
        """Run an epoch; return images per second."""
        began = time.perf_counter()
        images = self.epoch()
        return images / (time.perf_counter() - began)


class Runner(Rival):
    """The trainer itself: one epoch of its own loop after another."""

    @abstractmethod
    def overrides(self) -> Sequence[str]:
        """Return the command-line overrides of the run."""

    def prepare(self) -> None:
        """Build the parts of a run."""
        start_as_command_line()
        common = (f"batch_size={self.setting.batch_size}", "epochs=100", "checkpoint.every=100ep")
        device = f"device={self.setting.device}"
        self.fit = fit_of(make_run(self.folder, device, *common, *self.overrides()))

    def epoch(self) -> int:
        """Train an epoch."""
        before = self.fit.progress.examples
        self.fit.epoch()
        return self.fit.progress.examples - before


@cache
def start_as_command_line() -> None:
    """Set up the process, once, as the command line does."""
    keep_freed_memory()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries report leaks at exit


def make_run(folder: Path, *overrides: str) -> Run:
    """Compose a run on the CPU, as the command line would; create its folder."""
    register()
    overrides = ("device=cpu", "quiet=true", *overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    folder.mkdir(exist_ok=True)
    console = Console(quiet=True)
    return new_run(config, RunFolder(folder), console, list(overrides), [str(CONF)])  # pyright: ignore


def fit_of(run: Run) -> Fit:
    """Build a run's training loop, before its first epoch."""
    return run.assemble()
