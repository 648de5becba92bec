"""Signals at random moments, to training and to every other job."""

import json
import random
import signal
import time
from argparse import Namespace
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from torture_parts.child import Child, digest, logged_steps, steps, uninterrupted
from torture_parts.kill import unreadable
from torture_parts.outcome import Outcome
from trainer.core.signals import STOPPING

CASE = ["mining=ohem", "mixer=mixup", "loader=stream", "loader.workers=0"]
LONG = ["epochs=500", "batch_size=4"]  # nothing ends it but the signal
ANSWER = 5  # seconds
LONGEST = 3.0  # seconds of a job after which a signal is sent
JOBS = {  # `RUN` and `RUNS` stand for a finished run and a folder of two
    "train": ["epochs=500"],
    "tune": ["job=tune", 'job.space={optimizer.lr:"log(1e-4,1e-1)"}', "job.trials=500"],
    "trial": ["job=trial", "epochs=500"],
    "preview": ["job=preview", "epochs=500", "batch_size=4"],
    "diagnose": ["job=diagnose", "epochs=500"],
    "find_lr": ["job=find_lr", "epochs=500"],
    "find_batch_size": ["job=find_batch_size"],
    "evaluate": ["job=evaluate", "run=RUN"],
    "predict": ["job=predict", "run=RUN"],
    "examples": ["job=examples", "run=RUN"],
    "compare": ["job=compare", "runs=RUNS"],
    "review": ["job=review", "run=RUN"],
    "export": ["job=export", "run=RUN"],
}


def signals(folder: Path, options: Namespace) -> Iterator[Outcome]:
    """Yield rows for SIGTERM, for SIGINT once and twice, and for all signals to all jobs."""
    rng = random.Random(options.seed)
    yield terminate(folder / "term", options.terms, rng)
    yield interrupt(folder / "int", max(options.terms // 6, 1), rng)
    yield every_job(folder / "jobs", options.terms // 15, rng)


def trains(child: Child) -> bool:
    """Wait until a run logs its first metrics; return False if it ends before."""
    lines = child.folder / "metrics.jsonl"
    while child.running():
        if lines.exists() and lines.stat().st_size:
            return True
        time.sleep(0.002)
    return False


def terminate(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect exit 143 with the last step saved, and no step twice after resuming."""
    outcome = Outcome("SIGTERM at a random step")
    expected, seconds = uninterrupted(folder / "whole", *CASE)
    for attempt in count():
        if outcome.tried == number:
            break
        where = folder / str(attempt)
        child = Child(where, *CASE)
        if not trains(child):
            continue
        time.sleep(rng.random() * seconds / 3)
        child.send(signal.SIGTERM)
        code = child.wait()
        if code == 0:
            continue  # it had finished
        outcome.tried += 1
        last, logged = steps(where)[:1], logged_steps(where)[-1:]
        saved = bool(last and logged) and last >= logged
        outcome.expect(code == 143 and saved, f"exit {code}, saved {last}, logged {logged}")
        outcome.expect(Child(where, *CASE).wait() == 0, "it does not resume")
        taken = logged_steps(where)
        outcome.expect(taken == sorted(set(taken)), f"steps logged twice: {taken}")
        outcome.expect(digest(where) == expected, "the end differs")
    outcome.found = f"exit 143, no step repeated: {number - len(outcome.failures)} of {number}"
    return outcome


def interrupt(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect exit 130; after two signals, within two seconds and with a valid checkpoint."""
    outcome = Outcome("SIGINT once, and twice")
    slowest = 0.0
    for attempt in range(number):
        for times in (1, 2):
            where = folder / f"{attempt}-{times}"
            child = Child(where, *LONG)
            trains(child)
            time.sleep(0.2 + rng.random() / 5)
            began = time.monotonic()
            for _ in range(times):
                child.send(signal.SIGINT)
            code, seconds = child.wait(), time.monotonic() - began
            slowest = max(slowest, seconds)
            outcome.tried += 1
            outcome.expect(code in (130, -signal.SIGINT), f"{times} times: exit {code}")
            outcome.expect(seconds < 2 or times == 1, f"ended after {seconds:.1f} s")
            outcome.expect(not unreadable(where), unreadable(where))
    outcome.found = f"exit 130, the slowest after {slowest:.1f} s"
    return outcome


def every_job(folder: Path, number: int, rng: random.Random) -> Outcome:
    """Expect the end within ANSWER, the signal's exit code, one line, and a true status.

    Every job is sent every signal `number` times, at moments from its beginning to its end; with
    0, each job is sent one signal soon after its start.
    """
    outcome = Outcome("each signal, to each job")
    runs = [folder / "runs" / str(seed) for seed in (1, 2)]
    for seed, run in enumerate(runs):
        Child(run, f"seed={seed}").wait()
    slowest = 0.0
    for index, (job, settings) in enumerate(JOBS.items()):
        named = [setting.replace("RUNS", str(folder / "runs")) for setting in settings]
        named = [setting.replace("RUN", str(runs[0])) for setting in named]
        longest = length(folder / job / "whole", named) if number else 0.3
        chosen = STOPPING * number or [STOPPING[index % len(STOPPING)]]
        for attempt, sent in enumerate(chosen):
            child = Child(folder / job / str(attempt), *named)
            time.sleep(0.1 + rng.random() * longest)  # its handlers come first
            slowest = max(slowest, answer(child, sent, outcome, job))
    outcome.found = f"preempted, exit 128 + n, one line; the slowest after {slowest:.1f} s"
    return outcome


def length(folder: Path, settings: list[str]) -> float:
    """How many seconds a job takes, LONGEST at most."""
    child, began = Child(folder, *settings), time.monotonic()
    while child.running() and time.monotonic() - began < LONGEST:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    child.send(signal.SIGKILL)
    child.wait()
    return seconds


def answer(child: Child, sent: signal.Signals, outcome: Outcome, job: str) -> float:
    """Signal a job and judge how it ends. Returns after how many seconds it did."""
    began = time.monotonic()
    child.send(sent)
    code, seconds = child.wait(), time.monotonic() - began
    if code == 0:
        return 0.0  # it had finished
    outcome.tried += 1
    lines = child.errors.read_text().splitlines()
    lines = [line for line in lines if not line.startswith("warning: ")]  # of the job's work
    path = child.folder / "status.json"
    state = json.loads(path.read_text())["state"] if path.is_file() else "no run"
    what = f"{job}, {sent.name}"
    outcome.expect(code == 128 + sent, f"{what}: exit {code}")
    outcome.expect(state in ("preempted", "no run"), f"{what}: {state}")
    outcome.expect(len(lines) == 1, f"{what}: {lines}")
    outcome.expect(seconds < ANSWER, f"{what}: after {seconds:.1f} s")
    return seconds
