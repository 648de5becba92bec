"""A process that reads images and raises, dies, or says nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support import QUICK, config_of, read_json
from torch import Tensor

from trainer.__main__ import CONF
from trainer.cli.execute import execute
from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset import Dataset, Raw, Split
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.workers import ended, known, listen, named, told, watched
from trainer.loader.stream import Stream
from trainer.storage import checkpoint

CPU = torch.device("cpu")
BAD = 5  # the image that is trouble


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def hang() -> None:
    time.sleep(60)


def fail() -> None:
    raise KeyError("no such thing\nand more")


class Trouble:
    """Images of noise, one of which does something else."""

    shape: tuple[int, int, int] = (1, 4, 4)

    def __init__(self, do: Callable[[], None], when: Path | None = None) -> None:
        self.do = do
        self.when = when  # only once this file is there

    def __len__(self) -> int:
        return 40

    def read(self, ids: Sequence[int]) -> Tensor:
        """Noise [n, 1, 4, 4]."""
        if BAD in ids and (self.when is None or self.when.exists()):
            self.do()
        return torch.zeros(len(ids), *self.shape, dtype=torch.uint8)


def batches(do: Callable[[], None], **settings: Any) -> None:
    split = Split(Trouble(do), torch.zeros(40, dtype=torch.int64), torch.arange(40))
    feed = Stream(**settings).open(split, CPU)
    for _ in feed.batches(Plan.of(torch.arange(40), 4)):
        pass


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_any_kind_names_the_examples(workers: int) -> None:
    with pytest.raises(DataError) as caught:
        batches(fail, workers=workers)
    said = r"examples 4, 5, 6, 7 cannot be read: KeyError: 'no such thing\nand more'"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("do", "how"),
    [(die, "is killed by signal: Killed"), (leave, "exited unexpectedly with exit code 3")],
    ids=["killed", "left"],
)
def test_a_process_that_dies_is_told_with_what_it_read(do: Callable[[], None], how: str) -> None:
    """By its signal, or by what is missing, whichever comes first."""
    ways = rf"({how}|exited unexpectedly|is gone)"
    with pytest.raises(DataError, match=rf"a process of the loader {ways}") as caught:
        batches(do, workers=2)
    assert "while it read examples 4, 5, 6, 7; with loader.workers=0" in str(caught.value)


def test_a_process_that_hangs_is_told_with_what_it_reads() -> None:
    with pytest.raises(DataError) as caught:
        batches(hang, workers=1, timeout=1)
    said = "has said nothing for 1 s (loader.timeout) while it read examples 4, 5, 6, 7; "
    assert said in str(caught.value)


@pytest.mark.parametrize("do", [die, fail], ids=["killed", "raises"])
def test_work_in_chunks_names_what_it_was_on(
    monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]
) -> None:
    monkeypatch.setattr("trainer.dataset.shared.parallel.available_cores", lambda: 2)
    with pytest.raises(DataError, match=r"examples 4, 5, 6, 7\b"):
        list(in_chunks(Trouble(do).read, 40, 4, 2))


def test_files_are_named_where_there_are_some() -> None:
    images = Trouble(fail)
    assert named(images, range(8)) == "examples 0, 1, 2, 3, 4 and 3 more"
    images.paths = [f"/x/{i}" for i in range(8)]  # pyright: ignore
    assert named(images, [3]) == "files /x/3"
    assert told(DataError("as it is"), images, [3]) == "as it is"
    assert told(ValueError(), images, [3]) == "files /x/3 cannot be read: ValueError: "


def test_other_errors_stay_what_they_are() -> None:
    error = RuntimeError("something else")
    assert ended(error) is error
    assert not known(error)


def test_a_death_is_told_once() -> None:
    error = RuntimeError("DataLoader worker (pid 4000000) is killed by signal: Killed. ")
    assert not known(error)
    assert "a process of the loader is killed by signal: Killed; with" in str(ended(error))
    assert known(error)
    assert "is gone (ConnectionResetError)" in str(ended(ConnectionResetError()))


def test_a_death_that_a_pipe_told_of_is_no_news_to_the_signal() -> None:
    class Gone:
        _workers = (SimpleNamespace(pid=4000001), SimpleNamespace(pid=4000002))

        def __iter__(self) -> Iterator[int]:
            return self

        def __next__(self) -> int:
            raise ConnectionResetError

    error = RuntimeError("DataLoader worker (pid 4000002) is killed by signal: Killed. ")
    assert not known(error)
    with pytest.raises(DataError, match=r"is gone \(ConnectionResetError\)"):
        next(watched(Gone()))
    assert known(error)


def test_a_signal_does_not_raise_where_a_loader_is_taken_down() -> None:
    def torchs(number: int, frame: object) -> None:
        raise RuntimeError("DataLoader worker (pid 4000003) is killed by signal: Killed. ")

    def _shutdown_workers() -> None:
        signal.raise_signal(signal.SIGCHLD)

    before = signal.signal(signal.SIGCHLD, torchs)
    try:
        listen()
        _shutdown_workers()
        with pytest.raises(DataError, match="is killed by signal"):
            signal.raise_signal(signal.SIGCHLD)
    finally:
        signal.signal(signal.SIGCHLD, before)


class Noisy(Dataset):
    """The trouble as a data set."""

    def load(self) -> Raw:
        """All three parts from one source."""
        images = Trouble(die, WHEN)
        labels = torch.arange(40) % 2
        parts = (
            Split(images, labels, torch.arange(a, b)) for a, b in ((0, 20), (20, 30), (30, 40))
        )
        train, val, test = parts
        return Raw(train, test, ("a", "b"), val=val, mean=(0.5,), std=(0.5,))


WHEN = Path("absent")


@pytest.mark.parametrize("moment", ["in the loader", "in a step"])
def test_a_run_ends_with_exit_code_3_and_a_whole_checkpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    step_id: str,
) -> None:
    """The signal of a death comes at any moment: while a batch is waited for, or trained on."""
    from trainer.training.fit import Fit
    from trainer.training.step import Step

    when = tmp_path / "now"
    monkeypatch.setattr(f"{__name__}.WHEN", when)
    save, step = Fit.save, Step.__call__

    def saved(fit: Fit) -> None:
        save(fit)
        when.touch()

    def slow(*arguments: Any) -> None:
        if when.exists() and step_id == "in a step":
            time.sleep(0.5)
        step(*arguments)

    monkeypatch.setattr(Fit, "save", saved)
    monkeypatch.setattr(Step, "__call__", slow)
    arguments = [*QUICK, "loader=stream", "loader.workers=1", "batch_size=4", "epochs=9"]
    config = config_of(*arguments) | {"dataset": {"_target_": f"{__name__}.Noisy"}}
    assert execute(config, tmp_path / "run", arguments, [str(CONF)]) == DataError.exit_code
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "while it read examples" in said
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("failed", 3)
    held = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert held is not None
    assert held.state["progress"]["epoch"] == 1
