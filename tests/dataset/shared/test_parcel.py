"""Little shared memory and few open files: the same batches through a pipe, or the limit's name."""

import os
import resource
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.dataset.shared import parallel, parcel, workers
from trainer.dataset.shared.parallel import in_chunks
from trainer.dataset.shared.parcel import packed, shortage, unpacked
from trainer.loader.stream import Stream

CPU = torch.device("cpu")

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)


def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    small = SimpleNamespace(f_bavail=1, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _: small)


def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "open_files", lambda: 64)


def no_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It seemed free, but another process was faster."""

    def refuse(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)


def check_all_read() -> None:
    pixels = torch.arange(40 * 12).remainder(251).to(torch.uint8).reshape(40, 3, 2, 2)
    read = torch.cat([part for _, part in in_chunks(lambda ids: pixels[ids], 40, 4, 2)])
    assert torch.equal(read, pixels)
    split = Split(Pixels(pixels), torch.zeros(40, dtype=torch.int64), torch.arange(40))
    feed = Stream(workers=2).open(split, CPU)
    read = torch.cat([batch.images for batch in feed.batches(Plan.of(torch.arange(40), 4))])
    assert torch.equal(read, pixels)
    read.add_(1)  # it can be written to


@pytest.mark.parametrize("limit", [small_memory, few_files, no_shared_memory])
def test_the_batches_are_the_same_without_shared_memory(
    monkeypatch: pytest.MonkeyPatch, limit: Any
) -> None:
    limit(monkeypatch)
    if limit is not no_shared_memory:
        monkeypatch.setattr(torch.Tensor, "share_memory_", lambda _: os._exit(9))
    check_all_read()


def test_with_enough_of_it_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "numpy", lambda _: os._exit(9))
    chunks = list(in_chunks(lambda ids: torch.zeros(len(ids)), 40, 4, 2))
    assert sum(len(values) for _, values in chunks) == 40


def test_in_the_main_process_nothing_changes() -> None:
    values = [torch.zeros(3), "text"]
    assert packed(values) is values
    assert unpacked(torch.zeros(3).numpy()).tolist() == [0, 0, 0]


def test_what_cannot_be_sent_ends_the_worker_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python prints a traceback and sends nothing: the main process would wait for ever."""

    class Unsendable:
        def __reduce__(self) -> tuple[Any, ...]:
            raise RuntimeError("unable to open: Too many open files (24)")

    with pytest.raises(DataError) as caught:
        list(in_chunks(lambda _: Unsendable(), 40, 4, 2))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert str(caught.value) == (
        "a loader worker cannot send what it read: that needs more open files than ulimit -n="
        f"{limit} allows; raise the limit, or loader.workers=0 reads in the main process"
    )
    assert capfd.readouterr().err == ""


def test_workers_that_cannot_be_started_name_the_limit() -> None:
    """In a child process, for the limit holds for the whole process."""
    child = os.fork()
    if not child:
        used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, used + 4))
        try:
            list(in_chunks(lambda ids: torch.zeros(len(ids)), 40, 4, 2))
        except DataError as error:
            os._exit(0 if f"ulimit -n={used + 4}" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_work_in_chunks_has_a_time_out_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "LONGEST", 1.0)
    monkeypatch.setattr(workers, "CHECK_EVERY", 0.2)
    with pytest.raises(DataError, match=r"has not responded for 1 s while reading examples 0, 1"):
        list(in_chunks(lambda _: time.sleep(60), 8, 4, 2))


@pytest.mark.parametrize(
    ("error", "limit"),
    [
        (OSError(24, "Too many open files"), "ulimit -n="),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n="),
        (OSError(28, "No space left on device"), parcel.SHARED),
        (OSError(11, "Resource temporarily unavailable"), "ulimit -u="),
        (OSError(12, "Cannot allocate memory"), "memory"),
        (RuntimeError("DataLoader worker (pid 1) exited"), None),
    ],
)
def test_limits_are_named(error: Exception, limit: str | None) -> None:
    found = shortage(error)
    assert found is None if limit is None else limit in str(found)
