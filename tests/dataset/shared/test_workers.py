"""A loader worker that raises, dies or hangs is reported with the examples it is reading."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
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
from trainer.dataset.shared.workers import (
    UNSENT,
    ReadLog,
    exit_reason,
    list_examples,
    read_error,
    worker_failure,
)
from trainer.loader.stream import Stream
from trainer.storage import checkpoint

CPU = torch.device("cpu")
BAD = 5  # the image whose reading calls `do`


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def hang() -> None:
    time.sleep(60)


def fail() -> None:
    raise KeyError("no such thing\nand more")


class BadImages:
    """Black images; reading one of them calls `do`."""

    shape: tuple[int, int, int] = (1, 4, 4)

    def __init__(self, do: Callable[[], None], when: Path | None = None) -> None:
        self.do = do
        self.when = when  # a file that must exist before `do` is called

    def __len__(self) -> int:
        return 40

    def read(self, ids: Sequence[int]) -> Tensor:
        """Black images uint8 [n, 1, 4, 4]."""
        if BAD in ids and (self.when is None or self.when.exists()):
            self.do()
        return torch.zeros(len(ids), *self.shape, dtype=torch.uint8)


def batches(do: Callable[[], None], **settings: Any) -> None:
    split = Split(BadImages(do), torch.zeros(40, dtype=torch.int64), torch.arange(40))
    feed = Stream(**settings).open(split, CPU)
    for _ in feed.batches(Plan.of(torch.arange(40), 4)):
        pass


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_any_kind_names_the_examples(workers: int) -> None:
    with pytest.raises(DataError) as caught:
        batches(fail, workers=workers)
    message = r"examples 4, 5, 6, 7 cannot be read: KeyError: 'no such thing\nand more'"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("do", "reason"),
    [(die, "killed by SIGKILL"), (leave, "exited with code 3")],
    ids=["die", "leave"],
)
def test_a_dead_worker_is_reported_with_what_it_was_reading(
    do: Callable[[], None], reason: str
) -> None:
    handler, start = signal.getsignal(signal.SIGCHLD), time.monotonic()
    with pytest.raises(DataError, match=reason) as caught:
        batches(do, workers=2)
    assert "while reading examples 4, 5, 6, 7; loader.workers=0" in str(caught.value)
    assert time.monotonic() - start < 30  # long before loader.timeout=120
    assert signal.getsignal(signal.SIGCHLD) == handler


def test_a_worker_that_dies_between_epochs_is_reported() -> None:
    split = Split(BadImages(die), torch.zeros(40, dtype=torch.int64), torch.arange(40))
    feed, plan = Stream(workers=2).open(split, CPU), Plan.of(torch.arange(8, 40), 4)
    assert len(list(feed.batches(plan))) == 8
    os.kill(feed.loader._iterator._workers[0].pid, signal.SIGKILL)  # pyright: ignore
    with pytest.raises(DataError, match="killed by SIGKILL"):
        list(feed.batches(plan))


def test_a_hanging_worker_is_reported_with_its_examples() -> None:
    with pytest.raises(DataError) as caught:
        batches(hang, workers=1, timeout=1)
    assert "loader.timeout=1 s while reading examples 4, 5, 6, 7; " in str(caught.value)


def test_a_slow_worker_is_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A read may take many checks, up to loader.timeout."""
    monkeypatch.setattr("trainer.dataset.shared.workers.CHECK_EVERY", 0.02)
    slept = tmp_path / "slept"
    batches(lambda: (time.sleep(0.2), slept.touch())[0], workers=1, timeout=60)
    assert slept.exists()


@pytest.mark.parametrize("do", [die, fail], ids=["die", "fail"])
def test_an_error_in_a_chunk_names_its_examples(
    monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]
) -> None:
    monkeypatch.setattr("trainer.dataset.shared.parallel.available_cores", lambda: 2)
    with pytest.raises(DataError, match=r"examples 4, 5, 6, 7\b"):
        list(in_chunks(BadImages(do).read, 40, 4, 2))


def test_examples_are_listed_by_file_name_if_they_have_one() -> None:
    images = BadImages(fail)
    assert list_examples(images, range(8)) == "examples 0, 1, 2, 3, 4 and 3 more"
    images.paths = [f"/x/{i}" for i in range(8)]  # pyright: ignore
    assert list_examples(images, [3]) == "files /x/3"
    assert read_error(DataError("unchanged"), images, [3]) == "unchanged"
    assert read_error(ValueError(), images, [3]) == "files /x/3 cannot be read: ValueError: "


def test_only_errors_of_workers_are_described() -> None:
    log = ReadLog(None, 0)
    assert worker_failure(RuntimeError("out of memory"), [], "1 s", log) is None
    assert "ConnectionResetError" in str(worker_failure(ConnectionResetError(), [], "1 s", log))


def test_exit_reasons() -> None:
    assert exit_reason(3) == "exited with code 3"
    assert exit_reason(-11) == "was killed by SIGSEGV"
    assert "out of memory" in exit_reason(-9)


class FailingData(Dataset):
    """The images above, which kill a worker once the file WHEN exists."""

    def load(self) -> Raw:
        """Three splits of one source."""
        images = BadImages(die, WHEN)
        labels = torch.arange(40) % 2
        parts = (
            Split(images, labels, torch.arange(a, b)) for a, b in ((0, 20), (20, 30), (30, 40))
        )
        train, val, test = parts
        return Raw(train, test, ("a", "b"), val=val, mean=(0.5,), std=(0.5,))


WHEN = Path("absent")


@pytest.mark.parametrize("moment", ["in the loader", "in a step"])
def test_a_run_ends_with_exit_code_3_and_an_intact_checkpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    moment: str,
) -> None:
    """A worker may die while the run waits for a batch or trains on one."""
    from trainer.training.fit import Fit
    from trainer.training.step import Step

    when = tmp_path / "now"
    monkeypatch.setattr(f"{__name__}.WHEN", when)
    save, step = Fit.save, Step.__call__

    def save_and_mark(fit: Fit) -> None:
        save(fit)
        when.touch()

    def slow(*arguments: Any) -> None:
        if when.exists() and moment == "in a step":
            time.sleep(0.5)
        step(*arguments)

    monkeypatch.setattr(Fit, "save", save_and_mark)
    monkeypatch.setattr(Step, "__call__", slow)
    arguments = [*QUICK, "loader=stream", "loader.workers=1", "batch_size=4", "epochs=9"]
    config = config_of(*arguments) | {"dataset": {"_target_": f"{__name__}.FailingData"}}
    assert execute(config, tmp_path / "run", arguments, [str(CONF)]) == DataError.exit_code
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "while reading examples" in message
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("failed", 3)
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert saved is not None
    assert saved.state["progress"]["epoch"] == 1


def test_a_worker_whose_reader_ended_before_it_began_ends_too() -> None:
    """torch's own check compares the parent with the one at its start, by then another."""
    log = ReadLog(None, 1)
    log.reader = -1
    pid = os.fork()
    if pid == 0:
        log.start_worker(0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == UNSENT
