"""Runs the jobs of a sweep in processes, several at a time."""

import atexit
import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from hydra.types import HydraContext, TaskFunction

from trainer.cli import launch
from trainer.core.signals import STOPPING, Signals
from trainer.storage.run_folder import now
from trainer.sweep.feed import Feed
from trainer.sweep.manifest import Job, Manifest
from trainer.sweep.worker import Work, work

POLL = 0.2  # seconds
TAIL = 4096  # bytes at the end of a log in which its last line is sought
LATE = (  # what a job imports after its start; the last, its first backward pass
    *("trainer.job.train", "matplotlib.figure", "torch.fx.experimental.symbolic_shapes"),
)
FAIL_AGAIN = (2, 3, 4)  # exit codes of config, data and non-finite errors: never retried


class SweepSignals(Signals):
    """The first signal stops the jobs; a SIGINT after it kills them."""

    killing = False

    def receive(self, number: int) -> None:
        """Record a signal; a second SIGINT kills the jobs."""
        again = self.received is not None and number == signal.SIGINT
        self.killing = self.killing or again
        self.received = self.received or number


@dataclass
class Running:
    """A job and its process."""

    job: Job
    process: BaseProcess
    began: float  # of the monotonic clock
    log_began: int  # bytes that earlier attempts wrote to the log
    signalled: bool = False  # whether a signal was passed on


class Pool:
    """Runs jobs in processes, and passes signals on to them."""

    def __init__(
        self,
        manifest: Manifest,
        context: HydraContext,
        task_function: TaskFunction,
        feed: Feed | None = None,
    ) -> None:
        self.manifest = manifest
        self.feed = Feed() if feed is None else feed
        self.context = context
        self.task_function = task_function
        self.gpus = gpus()
        self.signals = SweepSignals()
        self.running: list[Running] = []
        self.waiting: deque[Job] = deque()

    def __call__(
        self, jobs: Sequence[Job], *, n_jobs: int | None, retries: int, warm: bool
    ) -> int | None:
        """Run the pending jobs. Returns the number of the signal that stopped the sweep, if any."""
        self.waiting.extend(job for job in jobs if job.state == "pending")
        self.n_jobs = n_jobs or max(1, len(self.gpus))
        fork = warm and sys.platform == "linux"  # elsewhere, system libraries break in a fork
        self.processes: Any = multiprocessing.get_context("fork" if fork else "spawn")
        self.retries = retries
        quiet = all(job.config is not None and job.config.quiet for job in jobs)
        with self.signals, self.feed.table(self.manifest, quiet=quiet) as self.table:
            if fork and (self.waiting or self.feed.wanted):
                warm_up()
                if not self.gpus and any(resumes(job) for job in jobs):
                    importlib.import_module("torch._dynamo")  # it initialises CUDA
            self.refill()
            while self.running or (self.waiting and self.signals.agreed_signal() is None):
                self.turn()
        return self.signals.agreed_signal()

    def turn(self) -> None:
        """Start what there is room for, wait a moment, see what has ended."""
        while (
            self.waiting
            and len(self.running) < self.n_jobs
            and self.signals.agreed_signal() is None
        ):
            self.start(self.waiting.popleft())
        wait([one.process.sentinel for one in self.running], timeout=POLL)
        for one in list(self.running):
            if one.process.exitcode is not None:
                self.running.remove(one)
                self.end(one)
        self.refill()
        self.pass_signals_on()
        self.table.refresh()

    def refill(self) -> None:
        """Ask the feed for as many jobs as there is room for."""
        room = self.n_jobs - len(self.running) - len(self.waiting)
        if room > 0 and self.feed.wanted and self.signals.agreed_signal() is None:
            self.waiting.extend(self.feed.more(room))

    def start(self, job: Job) -> None:
        """Start a job's process; a job whose folder already has a run resumes it."""
        assert job.config is not None  # noqa: S101
        assert job.log is not None  # noqa: S101
        if job.status and job.config.resume is None:
            job.config.resume = "auto"
        job.attempts += 1
        job.gpu = self.free_gpu(job)
        job.state, job.error, job.exit_code = "running", None, None
        given = Work(
            job.config,
            self.context,
            self.task_function,
            name=str(job.config.hydra.job.name),
            parent=os.getpid(),
            log=job.log,
            heading=f"--- {now()} attempt {job.attempts}: {' '.join(job.overrides)}",
            threads=max(1, cores() // self.n_jobs),
            gpu=job.gpu,
        )
        log_began = job.log.stat().st_size if job.log.exists() else 0
        process = self.processes.Process(target=work, args=(given,))
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until the process has its handlers
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        job.pid = process.pid
        self.running.append(Running(job, process, time.monotonic(), log_began))
        self.changed(job)

    def free_gpu(self, job: Job) -> str | None:
        """The GPU with the fewest jobs; None if there are no two to choose from."""
        if len(self.gpus) < 2 or job.config is None or job.config.device not in ("auto", "cuda"):
            return None
        used = Counter(one.job.gpu for one in self.running)
        return min(self.gpus, key=lambda gpu: used[gpu])

    def end(self, one: Running) -> None:
        """Record how a process ended, and queue its job again if it has attempts left."""
        job, code = one.job, one.process.exitcode
        assert code is not None  # noqa: S101
        job.seconds += time.monotonic() - one.began
        job.exit_code = code if code >= 0 else 128 - code
        job.state = state_of(job, code)
        job.error = None if job.done else error_of(one, code)
        if code < 0:
            kill(one)  # the loader's worker processes
        self.changed(job)
        again = job.attempts <= self.retries and job.exit_code not in FAIL_AGAIN
        stopped = one.signalled or self.signals.agreed_signal() is not None
        if again and not job.done and not stopped:
            self.waiting.append(job)
        else:
            self.feed.ended(job)

    def changed(self, job: Job) -> None:
        """Write and print a job's new state."""
        self.manifest.write()
        self.table.print_line(job)

    def pass_signals_on(self) -> None:
        """Send each process the signal once; kill them all after a second SIGINT.

        Jobs that the feed no longer needs are stopped by SIGTERM.
        """
        number = self.signals.agreed_signal()
        if number is None and self.feed.over:
            number = signal.SIGTERM
        for one in self.running:
            if self.signals.killing:
                kill(one)
            elif number is not None and not one.signalled:
                one.signalled = True
                os.kill(one.process.pid or 0, number)


def warm_up() -> None:
    """Import what most jobs import. None of it starts a thread or a CUDA context: forks are sound.

    A fork spares each job the import, 3.9 s of processor time (median of 7, `import_torch`).
    """
    launch.import_torch()
    for name in LATE:
        importlib.import_module(name)
    gc.freeze()  # a collection in a job would copy all that it shares with this process
    atexit.register(gc.unfreeze)  # or libraries report leaks at exit


def resumes(job: Job) -> bool:
    """Whether a job has checkpoints: Adam's step on the meta device, their check, needs _dynamo."""
    return job.folder is not None and (job.folder / "checkpoints").is_dir()


def kill(one: Running) -> None:
    """Kill a process and those that it started."""
    one.process.kill()
    with contextlib.suppress(ProcessLookupError):  # it has no session yet, or has ended
        os.killpg(one.process.pid or 0, signal.SIGKILL)


def state_of(job: Job, code: int) -> str:
    """A job's state after its process ended with a code, which is negative for a signal."""
    if code == 0 and job.status.get("state") == "finished":
        return "finished"
    if -code in STOPPING or code - 128 in STOPPING:
        return "preempted"
    return "killed" if code < 0 else "failed"


def error_of(one: Running, code: int) -> str:
    """Why a job did not finish, in one line."""
    if code < 0:
        name = signal.Signals(-code).name
        return f"ended by {name}" + ", possibly out of memory" * (name == "SIGKILL")
    status = one.job.status
    own = status.get("pid") == one.process.pid
    if own and status.get("error"):
        return str(status["error"])
    last = last_line(one)
    return f"ended with exit code {code} during its run, after: {last}" if own else last


def last_line(one: Running) -> str:
    """The last line that this attempt wrote to its log."""
    log = one.job.log
    if log is None or not log.exists():
        return "no output"
    with log.open("rb") as file:
        file.seek(max(one.log_began, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus() -> list[str]:
    """The visible GPUs, as CUDA_VISIBLE_DEVICES names them.

    torch is not asked: it might create a CUDA context, which does not survive a fork.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], check=True, capture_output=True, text=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]
