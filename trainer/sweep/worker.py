"""The process of one job of a sweep: its own session, log, threads and GPU."""

import ctypes
import faulthandler
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra import version
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from trainer.cli import launch
from trainer.core.errors import Interrupted, complain
from trainer.core.signals import STOPPING, Signals, immediate
from trainer.report.streams import lenient

PR_SET_PDEATHSIG = 1  # of prctl(2)


@dataclass(frozen=True)
class Work:
    """A job as its process receives it."""

    config: DictConfig
    context: HydraContext
    task_function: TaskFunction
    name: str  # of Hydra's job
    parent: int  # process id of the sweep
    log: Path
    heading: str
    threads: int  # of torch, upper limit
    gpu: str | None


def work(given: Work) -> None:
    """Run a job as Hydra's own launcher does, and exit with its exit code."""
    try:
        with Signals(), immediate():
            detach(given)
            write_to(given.log, given.heading)
            sys.exit(run(given))
    except Interrupted as error:
        complain(launch.line_for(error, ()))
        sys.exit(error.exit_code)


def run(given: Work) -> int:
    """Run the job. Returns its exit code."""
    if given.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = given.gpu
    limit_threads(given.threads)
    setup_globals()
    version.setbase("1.3")  # a process of its own would go into the job's folder, as Hydra 1.1 did
    Singleton.instance(JobRuntime).set("name", given.name)
    done = run_job(
        hydra_context=given.context,
        task_function=given.task_function,
        config=given.config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    return int(done.return_value)  # pyright: ignore


def detach(given: Work) -> None:
    """Start a session, so that signals come from the sweep alone; its death sends SIGTERM."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != given.parent:  # the sweep died before prctl took effect
        sys.exit(128 + signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def write_to(log: Path, heading: str) -> None:
    """Append stdout and stderr to the job's log, with those of C libraries and of crashes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)
    sys.stdout, sys.stderr = lenient(1, "stdout"), lenient(2, "stderr")
    faulthandler.enable(sys.stderr)
    sys.stdout.write(f"{heading}\n")


def limit_threads(threads: int) -> None:
    """Divide the cores among the jobs that run at a time; `threads=...` overrides it later."""
    launch.import_torch()
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), threads))
