"""The seconds of a process's first steps are told apart."""

import time

import pytest

from trainer.training.progress import FirstSteps, Progress, Stopwatch


def test_the_first_step_of_each_size_counts_as_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 2, 2, 2 and 1 rows take 5, 1, 1 and 3 s: 8 of 10 s are startup."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    progress, watch, first = Progress(), Stopwatch(since=0.0), FirstSteps()
    for rows, seconds in ((2, 5.0), (2, 1.0), (2, 1.0), (1, 3.0)):
        with first.timed(rows, progress, watch):
            now[0] += seconds
    progress.seconds += watch.lap()
    assert (progress.seconds, progress.startup) == (10.0, 8.0)


def test_an_older_checkpoint_has_none() -> None:
    older = Progress(step=3).state_dict()
    del older["startup"]
    progress = Progress()
    progress.load_state_dict(older)
    assert (progress.step, progress.startup) == (3, 0.0)
    with pytest.raises(ValueError, match="startup"):
        progress.load_state_dict(older | {"startup": "x"})
