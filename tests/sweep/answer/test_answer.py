"""sweep=answer through the command line: its end, its budget, and that a kill loses no run."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forks import Fork
from support import read_json

from trainer.sweep.answer.inquiry import Inquiry

ACT = ("-m", "sweep=answer", "job._target_=acts.Act", "device=cpu", "hydra.sweep.dir=sweep")
FEW = ("hydra.sweeper.seeds=4", "hydra.sweeper.first=4")
DEADLINE = 120.0  # seconds


def answer(
    folder: Path, *arguments: str, before: Callable[[], object] = lambda: None
) -> tuple[int, str, str]:
    """Run an answer sweep to its end: exit code, stdout, stderr."""
    code, out, err = Fork(folder, *ACT, *arguments, before=before).done()
    return code, out.decode(), err.decode()


def verdicts(folder: Path) -> dict[str, str]:
    found = read_json(folder / "sweep" / "answer.json")["strategies"]
    return {label: one["verdict"] for label, one in found.items()}


def results(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """The results that are there, with the time when each was written."""
    paths = list((folder / "sweep").glob("*/result.json"))
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_a_kill_at_any_moment_loses_no_run(tmp_path: Path) -> None:
    """What has ended is not run again, the rest goes on; no variation and NaN decide nothing."""
    line = ("+job.score=0.5,0.6,-1.0", "hydra.sweeper.baseline=0.5", "hydra.launcher.n_jobs=2")
    command = Fork(tmp_path, *ACT, *line, *FEW)
    until = time.monotonic() + DEADLINE
    while not results(tmp_path):
        assert command.running()
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    os.kill(command.pid, signal.SIGKILL)
    assert command.done()[0] == -signal.SIGKILL
    while any(state(path) == "running" for path in (tmp_path / "sweep").glob("*/status.json")):
        assert time.monotonic() < until
        time.sleep(0.01)
    kept = results(tmp_path)
    code, out, err = answer(tmp_path, *line, *FEW)
    assert code == 1, err
    assert kept.items() <= results(tmp_path).items()
    assert verdicts(tmp_path) == {"job.score=0.6": "undecided", "job.score=-1.0": "failed"}
    assert "job.score=0.6 is undecided after 4 seeds: the same difference with each of them" in out
    assert "job.score=-1.0 has too few results for an answer" in out
    assert "left out: job.score=-1.0 seed=0: test/accuracy is not finite" in out
    names = sorted(path.parent.name for path in results(tmp_path))
    assert 4 + 4 + 3 <= len(names) <= 4 + 4 + 4
    assert "+job.score=0.5,device=cpu,job._target_=acts.Act,seed=0" in names


def state(path: Path) -> Any:
    return read_json(path)["state"]


def test_the_budget_ends_the_runs_and_more_of_it_goes_on(tmp_path: Path) -> None:
    line = ("+job.act=wait", "+job.score=0.5,0.6", "+job.spread=0.05", *FEW)
    code, out, err = answer(tmp_path, *line, "hydra.sweeper.budget=1min", before=spend)
    assert code == 0, err
    assert "0 s left" in out
    assert "job.score=0.6 is undecided after 0 seeds: too few to compare" in out
    (status,) = (tmp_path / "sweep").glob("*/status.json")
    assert state(status) == "preempted"
    assert read_json(tmp_path / "sweep" / "summary.json")["state"] == "finished"
    (tmp_path / "go").touch()
    code, out, err = answer(tmp_path, *line, "hydra.sweeper.budget=1h")
    assert code == 0, err
    assert verdicts(tmp_path) == {"job.score=0.6": "better"}
    assert "job.score=0.6 is better than job.score=0.5: +" in out


def spend() -> None:
    """Spend the budget once a run has begun, however long that takes."""
    Inquiry.left = property(  # pyright: ignore
        lambda _: 0.0 if list(Path("sweep").glob("*/status.json")) else 60.0
    )


def test_what_cannot_be_an_answer_is_refused_in_a_line(tmp_path: Path) -> None:
    for words, message in {
        ("mining=none,ohme",): "mining=ohme: there is no such option. Did you mean mining=ohem?",
        ("mining=none,ohem", "hydra.sweeper.margn=1"): "hydra.sweeper.margn=1: there is no such",
    }.items():
        code, _, err = answer(tmp_path, *words)
        assert (code, message in err) == (2, True), err
        assert not (tmp_path / "sweep").exists()
