"""Runs in processes forked from this one, and the files they leave."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from torture_parts.hashing import sha256
from trainer.__main__ import CONF, register
from trainer.cli.execute import execute
from trainer.core.errors import Interrupted, TrainerError
from trainer.core.signals import Signals, immediate
from trainer.job import train
from trainer.storage import checkpoint
from trainer.sweep.pool import warm_up

SMALL = ["model=mlp", "model.hidden=[16]", "epochs=2", "batch_size=32", "dataset.val_fraction=0.7"]
SETTINGS = [*SMALL, "checkpoint.every=3st", "device=cpu", "threads=1", "quiet=true"]
SETTINGS += ["log.every=1st"]
HASHED = ("optimizer", "loss", "rate", "miner", "history", "average")
POLL = 0.0003  # seconds


@cache
def composed(*overrides: str) -> Any:
    """Compose the config once for all children, and import what they need."""
    register()
    warm_up()
    importlib.import_module("torch._dynamo")  # runs that resume import it
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


class Child:
    """A run in a forked process."""

    pictures = True  # drawing them takes two thirds of a run's time

    def __init__(
        self, folder: Path, *overrides: str, before: Callable[[], None] | None = None
    ) -> None:
        """Start it; `before` is called in the child, to patch what it runs."""
        self.folder = folder
        arguments = [*SETTINGS, "resume=auto", *overrides]
        config = OmegaConf.to_container(composed(*arguments), resolve=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.errors = folder.with_suffix(".stderr")
        self.code: int | None = None
        self.pid = os.fork()
        if not self.pid:
            code = 99
            try:
                descriptor = os.open(self.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(descriptor, 2)
                if not Child.pictures:
                    train.Ending.show_pictures = lambda self: None  # noqa: ARG005
                if before is not None:
                    before()
                with Signals(), immediate():
                    code = execute(config, folder, arguments, [str(CONF)])  # pyright: ignore
            except (TrainerError, Interrupted) as error:
                sys.stderr.write(f"{error}\n")
                code = error.exit_code
            finally:
                sys.stderr.flush()
                os._exit(code)

    def running(self) -> bool:
        """Return whether the process is still running."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def wait(self) -> int:
        """Wait for the exit code."""
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Signal the process, if it is still running."""
        if self.running():
            os.kill(self.pid, number)


class CommandLine(Child):
    """A run started by `python -m trainer`."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.errors = folder.with_suffix(".stderr")
        command = [sys.executable, "-m", "trainer", *SETTINGS, "resume=auto", *overrides]
        with self.errors.open("w") as file:
            process = subprocess.Popen([*command, f"hydra.run.dir={folder}"], stderr=file)
        self.code = None
        self.pid = process.pid


def writing(folder: Path) -> bool:
    """Return whether a save is in progress in a run folder, or was when its process died."""
    checkpoints = folder / "checkpoints"
    entries = os.scandir(checkpoints) if checkpoints.is_dir() else ()
    return any(
        entry.name.startswith(".tmp-")
        or (entry.name.startswith("step-") and not Path(entry, "manifest.json").exists())
        for entry in entries
    )


def wait_for_save(child: Child, number: int) -> None:
    """Return when the child is inside its n-th save from now, or has ended."""
    inside = False
    while child.running():
        now = writing(child.folder)
        number -= now and not inside
        if number <= 0 and now:
            return
        inside = now
        time.sleep(POLL)


def digest(folder: Path) -> str:
    """Hash the state in the last checkpoint of a run."""
    last = checkpoint.load(checkpoint.step_folder(folder / "checkpoints", steps(folder)[0]))
    return sha256(last.model, {name: last.state[name] for name in HASHED})


def steps(folder: Path) -> list[int]:
    """List the steps that have a checkpoint, newest first."""
    return checkpoint.steps(folder / "checkpoints")


def logged_steps(folder: Path) -> list[int]:
    """List the steps of the training events in metrics.jsonl, in order."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["step"] for line in lines if line["split"] == "train"]


@cache
def uninterrupted(folder: Path, *overrides: str) -> tuple[str, float]:
    """Run without disturbance; return digest and seconds."""
    began = time.monotonic()
    child = Child(folder, *overrides)
    code = child.wait()
    if code:
        raise RuntimeError(f"{' '.join(overrides)}: exit {code}: {child.errors.read_text()}")
    return digest(folder), time.monotonic() - began
