"""Sweeps through the command line, each job in its process."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from forks import Fork
from omegaconf import DictConfig
from support import read_json

from trainer.config.compose import resolve

ROOT = Path(__file__).parents[2]
ACT = ("-m", "job._target_=acts.Act", "device=cpu", "hydra.sweep.dir=sweep")
DEADLINE = 240.0  # seconds, on a machine that has other things to do
ENVIRONMENT = {
    "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
    "OMP_NUM_THREADS": "4",
    "MKL_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


def wait_for(path: Path) -> str:
    """The text of a file once it is there."""
    until = time.monotonic() + DEADLINE
    while not path.exists():
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.01)
    return path.read_text()


class Command(Fork):
    """A command that runs in a fork."""

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def signal_all(self, number: int) -> None:
        """As a terminal does for Ctrl-C: to the whole group of processes."""
        os.killpg(self.pid, number)

    def ended(self) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        code, out, err = self.done()
        return code, out.decode(), err.decode()


Start = Callable[..., Command]
Sweep = Callable[..., tuple[int, str, str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a command in an empty folder, which is the test's own too."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environment: str) -> Command:
        own = ENVIRONMENT | environment
        return Command(tmp_path, *arguments, before=lambda: os.environ.update(own))

    return run


@pytest.fixture
def sweep(start: Start) -> Sweep:
    """Runs a sweep to its end: exit code, stdout, stderr."""
    return lambda *arguments, **environment: start(*ACT, *arguments, **environment).ended()


def manifest() -> dict[str, Any]:
    """The sweep's manifest."""
    return read_json(Path("sweep/manifest.json"))


def column(name: str) -> list[Any]:
    """A field of all jobs in the manifest."""
    return [job[name] for job in manifest()["jobs"]]


def wait_until(running: int) -> None:
    """Until so many jobs are in the middle of their runs."""
    until = time.monotonic() + DEADLINE
    while True:
        statuses = [read_json(path) for path in Path("sweep").glob("*/status.json")]
        if sum(status["state"] == "running" for status in statuses) == running:
            time.sleep(0.2)  # the job itself comes right after its status
            return
        assert time.monotonic() < until, "the jobs do not begin"
        time.sleep(0.01)


def test_what_ends_a_job_leaves_the_others_running(sweep: Sweep) -> None:
    code, out, err = sweep("+job.act=raise,exit,leave,kill,nope,finish", "hydra.launcher.n_jobs=2")
    assert code == 1
    assert column("state") == ["failed", "failed", "failed", "killed", "failed", "finished"]
    assert column("exit_code") == [1, 3, 0, 137, 2, 0]
    heading = Path(column("log")[2]).read_text().strip()
    assert column("error") == [
        "RuntimeError: oops",
        "ended with exit code 3 during its run, after: now I go",
        f"ended with exit code 0 during its run, after: {heading}",
        "ended by SIGKILL, possibly out of memory",
        "job.act must name one of its methods do_*, got nope",
        None,
    ]
    folder = "sweep/0-+job.act=raise,device=cpu,job._target_=acts.Act"
    line = f"job 0 (+job.act=raise) failed: RuntimeError: oops; log: {folder}/job.log"
    assert line in err.splitlines()
    assert "job 5 (+job.act=finish) finished in " in out
    assert "sweep: 4 failed, 1 killed, 1 finished; sweep/summary.json\n" in out


def test_the_summary_names_failures_with_their_logs_and_holds_the_results(sweep: Sweep) -> None:
    code, _, err = sweep("+job.act=finish,raise", "epochs=0,1")
    assert code == 1
    assert err.count("epochs must be in [1, inf), got 0\n") == 2
    summary = read_json(Path("sweep/summary.json"))
    assert summary["state"] == "failed"
    assert summary["exit_code"] == 1
    assert summary["counts"] == {"refused": 2, "finished": 1, "failed": 1}
    refused, refused_too, failure = summary["failures"]
    assert refused["error"] == refused_too["error"] == "epochs must be in [1, inf), got 0"
    assert [refused["log"], refused["number"], refused_too["number"]] == [None, 0, 2]
    assert failure["error"] == "RuntimeError: oops"
    assert failure["exit_code"] == 1
    assert "RuntimeError: oops" in Path(failure["log"]).read_text()
    (result,) = summary["results"]
    assert result["test"]["accuracy"] == 0.5
    assert result["folder"].startswith("1-+job.act=finish")
    assert (Path("sweep") / result["folder"] / "result.json").is_file()


def test_the_same_sweep_again_skips_what_is_finished_and_runs_the_rest(sweep: Sweep) -> None:
    """A finished job is refused, not skipped, if its settings have changed since."""
    arguments = ("+job.act=finish,once,kill,meet",)
    Path("met-another").touch()
    assert sweep(*arguments)[0] == 1
    before = Path("sweep", column("folder")[0], "result.json").read_bytes()
    changed = Path("sweep", column("folder")[3], "config.yaml")
    changed.write_text(changed.read_text().replace("epochs: 30", "epochs: 20"))
    code, out, err = sweep(*arguments)
    assert code == 1
    assert column("state") == ["skipped", "finished", "killed", "refused"]
    assert column("attempts") == [0, 1, 1, 0]
    assert "epochs: 20 → 30" in err
    assert "job 0 (+job.act=finish) skipped  test accuracy 0.5000" in out
    assert Path("sweep", column("folder")[0], "result.json").read_bytes() == before
    again = yaml.safe_load(Path("sweep", column("folder")[1], "config.yaml").read_text())
    assert again["resume"] == "auto"
    assert len(read_json(Path("sweep/summary.json"))["results"]) == 2


def test_a_job_is_tried_again_where_that_may_help(sweep: Sweep) -> None:
    code, _, err = sweep("+job.act=once,nope,raise", "hydra.launcher.retries=2")
    assert code == 1
    assert column("state") == ["finished", "failed", "failed"]
    assert column("attempts") == [2, 1, 3]
    log = Path(manifest()["jobs"][2]["log"]).read_text()
    assert [f"attempt {n}" in log for n in (1, 2, 3, 4)] == [True, True, True, False]
    assert err.count("RuntimeError: oops") == 3


def test_as_many_jobs_as_gpus_run_at_a_time_with_a_gpu_and_a_share_of_the_cores(
    sweep: Sweep,
) -> None:
    arguments = ("+job.act=meet", "seed=1,2", "device=auto")
    assert sweep(*arguments, CUDA_VISIBLE_DEVICES="3,5")[0] == 0
    assert sorted(path.name for path in Path().glob("met-*")) == ["met-1-3", "met-2-5"]
    assert column("gpu") == ["3", "5"]
    results = read_json(Path("sweep/summary.json"))["results"]
    share = max(1, len(os.sched_getaffinity(0)) // 2)
    assert [result["test"]["threads"] for result in results] == [min(4, share)] * 2


def test_ctrl_c_stops_the_jobs_and_the_same_sweep_resumes_them(start: Start, sweep: Sweep) -> None:
    command = start(*ACT, "+job.act=wait", "seed=1,2,3", "hydra.launcher.n_jobs=2")
    wait_until(running=2)
    command.signal_all(signal.SIGINT)
    assert command.ended()[0] == 130
    assert column("state") == ["preempted", "preempted", "pending"]
    statuses = [read_json(path)["state"] for path in Path("sweep").glob("*/status.json")]
    assert statuses == ["preempted"] * 2, "the second of two signals ends a run unsaved"
    assert column("exit_code") == [130, 130, None]
    assert manifest()["state"] == "preempted"
    assert read_json(Path("sweep/summary.json"))["exit_code"] == 130
    Path("go").touch()
    assert sweep("+job.act=wait", "seed=1,2,3")[0] == 0
    assert column("state") == ["finished"] * 3


def test_a_signal_waits_until_the_config_of_a_job_is_composed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(config: DictConfig) -> dict[str, Any]:
        signal.raise_signal(signal.SIGINT)
        Path("whole").touch()
        return resolve(config)

    monkeypatch.setattr("trainer.sweep.sweeper.resolve", interrupted)
    code, _, error = start(*ACT, "+job.act=wait", "seed=1,2").ended()
    assert Path("whole").exists()
    assert code == 130
    assert error == "stopped by signal 2 before the run began\n"


def test_a_second_ctrl_c_kills_the_jobs(start: Start) -> None:
    command = start(*ACT, "+job.act=deaf", "seed=1,2")
    wait_until(running=1)
    command.signal(signal.SIGINT)
    time.sleep(0.5)
    assert column("state") == ["running", "pending"]
    command.signal(signal.SIGINT)
    assert command.ended()[0] == 130
    assert column("state") == ["killed", "pending"]


def test_two_processes_cannot_run_one_sweep_which_sigterm_stops(start: Start, sweep: Sweep) -> None:
    command = start(*ACT, "+job.act=wait", "seed=1")
    wait_until(running=1)
    code, _, err = sweep("+job.act=wait", "seed=1")
    assert (code, err.count("\n")) == (7, 1)
    assert f"sweep is in use by process {command.pid} on " in err
    command.signal(signal.SIGTERM)
    assert command.ended()[0] == 143
    assert (column("state"), column("exit_code")) == (["preempted"], [143])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
def test_the_jobs_of_a_sweep_that_is_killed_save_and_end(start: Start) -> None:
    command = start(*ACT, "+job.act=wait", "seed=1")
    wait_until(running=1)
    command.signal(signal.SIGKILL)
    assert command.ended()[0] == -signal.SIGKILL
    (path,) = Path("sweep").glob("*/status.json")
    until = time.monotonic() + DEADLINE
    while (status := read_json(path))["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert (status["state"], status["exit_code"]) == ("preempted", 143)


def test_a_job_trains_as_it_would_alone(start: Start) -> None:
    own = ("model=mlp", "epochs=1", "device=cpu", "threads=1", "quiet=true")
    assert start("-m", *own, "seed=1,2", "hydra.sweep.dir=sweep").ended() == (0, "", "")
    assert start(*own, "seed=2", "hydra.run.dir=alone").ended() == (0, "", "")
    alone = read_json(Path("alone/result.json"))
    swept = read_json(Path("sweep", column("folder")[1], "result.json"))
    assert swept["test"] == alone["test"]
    assert swept["config_sha256"] == alone["config_sha256"]
    assert "attempt 1" in Path(column("log")[0]).read_text()


def test_the_same_sweep_in_another_order_runs_nothing_again(sweep: Sweep) -> None:
    assert sweep("+job.act=finish", "seed=0,1", "epochs=1,2")[0] == 0
    code, out, _ = sweep("epochs=1,2", "+job.act=finish", "seed=0,1")
    assert (code, column("state")) == (0, ["skipped"] * 4)
    assert "sweep: 4 skipped" in out
    assert len(list(Path("sweep").glob("*/status.json"))) == 4


def test_hydra_writes_through_no_link(sweep: Sweep, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    Path("sweep").mkdir()
    Path("sweep/multirun.yaml").symlink_to(victim)
    code, _, err = sweep("+job.act=finish")
    assert (code, err.count("\n")) == (5, 1)
    assert "sweep/multirun.yaml is a link" in err
    assert victim.read_text() == "mine"
