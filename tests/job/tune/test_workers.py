"""Several processes that share a search: each trial is run once, and a killed one's goes on."""

import os
import signal
import time
from pathlib import Path

import pytest
from forks import Fork
from support import read_json

from trainer.core.errors import ConfigError
from trainer.job.tune.study import open_study
from trainer.job.tune.workers import Workers

optuna = pytest.importorskip("optuna")

LINE = (
    *("job=tune", "model=mlp", "device=cpu", "threads=1", "dataset.subset=64", "quiet=true"),
    *('job.space={optimizer.lr:"log(1e-4,1e-1)"}', "job.pruner=none", "job.storage=shared"),
)
DEADLINE = 120.0  # seconds


def test_a_trial_belongs_to_one_process_until_it_ends(tmp_path: Path) -> None:
    ours, theirs = (Workers(tmp_path / name, str(tmp_path / "shared")) for name in "ab")
    ours.prepare()
    theirs.prepare()
    assert ours.trials == theirs.trials == tmp_path / "shared"
    assert ours.take(0, new=True)
    assert not theirs.take(0, new=False)
    assert theirs.take(1, new=True)
    ours.release(0)
    assert theirs.take(0, new=False), "as after the death of a process, whose locks are freed"


def test_with_a_database_a_process_goes_on_with_its_own_trials_alone(tmp_path: Path) -> None:
    ours, theirs = (Workers(tmp_path / name, "sqlite:///x") for name in "ab")
    ours.prepare()
    theirs.prepare()
    assert ours.take(0, new=True)
    assert not theirs.take(0, new=False)
    ours.release(0)
    assert not theirs.take(0, new=False)
    again = Workers(tmp_path / "a", "sqlite:///x")
    assert again.take(0, new=False)


def test_a_process_alone_has_every_trial_and_leaves_no_locks(tmp_path: Path) -> None:
    alone = Workers(tmp_path, None)
    alone.prepare()
    with alone.turn():
        assert alone.take(3, new=False)
    assert alone.trials == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_study_in_a_database_is_shared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    about = {"job.metric": "val/accuracy"}
    pruner = optuna.pruners.NopPruner()
    first = open_study(tmp_path, about, pruner, "maximize", shared=True, url=url)
    first.tell(first.ask(), 0.5)
    again = open_study(tmp_path, about, pruner, "maximize", shared=True, url=url)
    assert [trial.value for trial in again.trials] == [0.5]
    with pytest.raises(ConfigError, match=r"job\.storage=nosuch://\.\.\.: no such database"):
        open_study(tmp_path, about, pruner, "maximize", shared=True, url="nosuch://me:pass@x/y")


def test_two_processes_share_the_trials_and_that_of_a_killed_one_goes_on(tmp_path: Path) -> None:
    """The first is killed in the middle of its trial, while the second has another."""
    trials = [tmp_path / "shared" / f"trial-00{i}" for i in range(2)]
    line = (*LINE, "job.trials=2", "epochs=60")
    until = time.monotonic() + DEADLINE

    def begun(trial: Path, command: Fork) -> None:
        while not list((trial / "checkpoints").glob("step-*")):
            assert command.running(), command.done()
            assert time.monotonic() < until
            time.sleep(0.01)

    first = Fork(tmp_path, *line, "hydra.run.dir=a")
    begun(trials[0], first)
    second = Fork(tmp_path, *line, "hydra.run.dir=b")
    os.kill(first.pid, signal.SIGSTOP)  # it holds its trial
    begun(trials[1], second)
    os.kill(first.pid, signal.SIGKILL)
    first.done()
    code, _, err = second.done()
    assert code == 0, err.decode()
    rows = (tmp_path / "b" / "trials.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["0", "finished"], ["1", "finished"]]
    assert [read_json(trial / "result.json")["epochs"] for trial in trials] == [60, 60]
    starts = [(trial / "train.log").read_text().count("Digits: ") for trial in trials]
    assert starts == [2, 1], "the first trial was taken up again, the second run once"
    assert read_json(tmp_path / "b" / "result.json")["trials"] == {"finished": 2}
