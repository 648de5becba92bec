"""Several processes that share a search: each trial is run once, and a killed one's goes on."""

import os
import signal
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from forks import Fork
from support import read_json

from trainer.cli.trials import TrialRunner
from trainer.core.errors import CheckpointError, ConfigError
from trainer.job.tune import claims
from trainer.job.tune.study import open_study, saved_line
from trainer.job.tune.trial import PruningStopper
from trainer.job.tune.workers import Workers

optuna = pytest.importorskip("optuna")

LINE = (
    *("job=tune", "model=mlp", "device=cpu", "threads=1", "dataset.subset=64", "quiet=true"),
    *('job.space={optimizer.lr:"log(1e-4,1e-1)"}', "job.pruner=none"),
)
DEADLINE = 120.0  # seconds


def test_a_trial_belongs_to_one_process_until_it_ends(tmp_path: Path) -> None:
    ours, theirs = (Workers(tmp_path / name, str(tmp_path / "shared")) for name in "ab")
    ours.prepare()
    theirs.prepare()
    assert ours.trials == theirs.trials == tmp_path / "shared"
    assert ours.take(0)
    assert not theirs.take(0)
    assert theirs.take(1)
    ours.release(0)
    assert theirs.take(0), "as after the death of a process, whose locks are freed"


def test_with_a_database_a_silent_process_loses_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its count does not rise; a process with the same folder is the same one."""
    monkeypatch.setattr("trainer.job.tune.claims.BEAT", 60.0)
    monkeypatch.setattr("trainer.job.tune.claims.SILENT", 0.2)
    url = f"sqlite:///{tmp_path}/study.db"
    (tmp_path / "a").mkdir()
    ours, again, theirs = (Workers(tmp_path / name, url) for name in "aab")
    with closing(ours), closing(theirs), closing(again):
        for one in (ours, again, theirs):
            one.prepare()
        assert ours.take(0)
        assert ours.take(0)
        assert again.take(0)
        assert not theirs.take(0)
        assert theirs.outlived(), "after the silence"
        assert theirs.take(0)
        assert (ours.has(0), theirs.has(0)) == (False, True)
        assert not ours.take(0)
        ours.release(0)
        assert theirs.has(0)
        theirs.release(0)
        assert ours.outlived(), "it is free"
        assert ours.take(0)


def test_with_a_database_a_process_that_gives_signs_of_life_keeps_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.job.tune.claims.BEAT", 0.02)
    url = f"sqlite:///{tmp_path}/study.db"
    ours, theirs = (Workers(tmp_path / name, url) for name in "ab")
    with closing(ours), closing(theirs):
        ours.prepare()
        theirs.prepare()
        assert ours.take(0)
        with ours.turn():
            assert not theirs.take(0)
            assert not theirs.outlived()
    with closing(theirs), pytest.raises(ConfigError, match="in memory"):
        Workers(tmp_path / "c", "sqlite://").prepare()


def test_a_process_alone_has_every_trial_and_leaves_no_locks(tmp_path: Path) -> None:
    alone = Workers(tmp_path, None)
    alone.prepare()
    with alone.turn():
        assert alone.take(3)
    assert alone.trials == tmp_path
    assert not list(tmp_path.iterdir())


def test_a_study_in_a_database_is_shared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    about = {"job.metric": "val/accuracy", "line": ["model=mlp"]}
    pruner = optuna.pruners.NopPruner()
    first = open_study(tmp_path, about, pruner, "maximize", shared=True, url=url)
    first.tell(first.ask(), 0.5)
    again = open_study(tmp_path, about, pruner, "maximize", shared=True, url=url)
    assert [trial.value for trial in again.trials] == [0.5]
    assert saved_line(tmp_path, url) == ["model=mlp"], "for `resume=FOLDER` alone"
    with pytest.raises(CheckpointError, match=r"job\.storage holds no search yet: give its whole"):
        saved_line(tmp_path, f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(ConfigError, match=r"job\.storage=nosuch://\.\.\.: the database fails"):
        open_study(tmp_path, about, pruner, "maximize", shared=True, url="nosuch://me:pass@x/y")


@pytest.mark.parametrize("storage", ["shared", "sqlite:///study.db"])
def test_two_processes_share_the_trials_and_that_of_a_killed_one_goes_on(
    tmp_path: Path, storage: str
) -> None:
    """The first is killed in the middle of its trial, while the second has another.

    From a database the second cannot go on with the first's checkpoint: it begins anew.
    """
    database = "://" in storage
    line = (*LINE, f"job.storage={storage}", "job.trials=2", "epochs=3")
    first = Fork(tmp_path, *line, "hydra.run.dir=a", before=partial(hold, "first", "never"))
    wait_for(tmp_path / "first", first)
    second = Fork(tmp_path, *line, "hydra.run.dir=b", before=partial(hold, "second", "killed"))
    wait_for(tmp_path / "second", second)
    os.kill(first.pid, signal.SIGKILL)
    first.done()
    (tmp_path / "killed").touch()
    code, _, err = second.done()
    assert code == 0, err.decode()
    rows = (tmp_path / "b" / "trials.csv").read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["0", "finished"], ["1", "finished"]]
    folder = tmp_path / ("b" if database else "shared")
    trials = [folder / f"trial-00{i}" for i in range(2)]
    assert [read_json(trial / "result.json")["epochs"] for trial in trials] == [3, 3]
    starts = [(trial / "train.log").read_text().count("Digits: ") for trial in trials]
    assert starts == [1 if database else 2, 1], "the first was taken up again, the second run once"
    assert read_json(tmp_path / "b" / "result.json")["trials"] == {"finished": 2}


def hold(begun: str, released: str) -> None:
    """Hold the process in its second validation, with `begun`, until there is the other file."""
    claims.BEAT, claims.SILENT = 0.05, 0.5
    TrialRunner.metrics = lambda *_: ["val/accuracy"]  # pyright: ignore  (it takes a second)
    own, calls = PruningStopper.update, []

    def update(self: PruningStopper, metrics: dict[str, float]) -> bool:
        calls.append(metrics)
        if len(calls) == 2:
            Path(begun).touch()
            while not Path(released).exists():
                time.sleep(0.01)
        return own(self, metrics)

    PruningStopper.update = update


def wait_for(path: Path, command: Fork) -> None:
    until = time.monotonic() + DEADLINE
    while not path.exists():
        assert command.running(), command.done()
        assert time.monotonic() < until
        time.sleep(0.01)
