"""A job that ends in the way its setting names, for tests of code that runs jobs."""

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.core.signals import Signals, deferred
from trainer.job.base import Job
from trainer.storage.run_folder import RunFolder


class Act(Job):
    """Ends in one of the ways a job can end."""

    def __init__(self, *, act: str = "finish", score: float = 0.5, spread: float = 0.0) -> None:
        self.act, self.score, self.spread = act, score, spread
        self.act_out = getattr(self, f"do_{act}", None)
        if self.act_out is None:
            raise ValueError(f"job.act must name one of its methods do_*, got {act}")

    def __call__(self, *, folder: RunFolder, signals: Signals, seed: int) -> dict[str, Any]:
        assert self.act_out is not None
        self.folder, self.signals, self.seed = folder, signals, seed
        self.act_out()
        noise = np.random.default_rng([seed, int(1000 * self.spread)]).normal()
        accuracy = self.score * (1 + self.spread * noise)  # the same noise, and so pairs help
        accuracy = math.nan if self.score < 0 else accuracy
        return {"test": {"accuracy": accuracy, "threads": torch.get_num_threads()}}

    def do_finish(self) -> None:
        """Finish."""

    def do_raise(self) -> None:
        raise RuntimeError("oops")

    def do_odd(self) -> None:
        """Fail if the seed is odd."""
        if self.seed % 2:
            self.do_raise()

    def do_exit(self) -> None:
        print("now I go")  # noqa: T201
        sys.exit(3)

    def do_leave(self) -> None:
        os._exit(0)

    def do_kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def do_once(self) -> None:
        """Fail the first time in a folder, finish the second time."""
        tried = self.folder.path / "tried"
        if not tried.exists():
            tried.touch()
            raise RuntimeError("once")

    def do_wait(self) -> None:
        """Wait for a signal, or for the file `go`."""
        while not Path("go").exists():
            if self.signals.agreed_signal() is not None:
                time.sleep(0.5)  # as long as a slow step
            self.signals.raise_if_stopped()
            time.sleep(0.01)

    def do_deaf(self) -> None:
        """Ignore signals."""
        with deferred():
            time.sleep(240)

    def do_meet(self) -> None:
        """Wait for another job that does the same; record its GPU."""
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
        Path(f"met-{self.seed}-{gpu}").touch()
        until = time.monotonic() + 120
        while len(list(Path().glob("met-*"))) < 2:
            assert time.monotonic() < until, "the other job has not started"
            time.sleep(0.01)
