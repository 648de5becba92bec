"""The same results, in order, with any number of processes."""

import os

import pytest

from trainer.core.errors import DataError
from trainer.dataset.shared import parallel
from trainer.dataset.shared.parallel import in_chunks


@pytest.fixture(autouse=True)
def three_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 3)


pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_chunks_in_order(workers: int) -> None:
    got = list(in_chunks(sum, 10, 4, workers))
    assert got == [(range(4), 6), (range(4, 8), 22), (range(8, 10), 17)]


def test_no_ids_give_no_chunks() -> None:
    assert list(in_chunks(sum, 0, 4, 2)) == []


@pytest.mark.parametrize(("workers", "number", "processes"), [(2, 40, 2), (9, 8, 2)])
def test_processes_are_limited_by_cores_and_chunks(
    workers: int, number: int, processes: int
) -> None:
    pids = {pid for _, pid in in_chunks(lambda ids: os.getpid(), number, 4, workers)}
    assert len(pids) == processes
    assert os.getpid() not in pids


@pytest.mark.parametrize(("workers", "number"), [(0, 40), (1, 40), (9, 4)])
def test_a_single_process_is_the_main_one(workers: int, number: int) -> None:
    assert {pid for _, pid in in_chunks(lambda ids: os.getpid(), number, 4, workers)} == {
        os.getpid()
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_error_is_one_line(workers: int) -> None:
    def work(ids: range) -> int:
        if 5 in ids:
            raise DataError("cannot read 5")
        return 0

    with pytest.raises(DataError, match=r"\Acannot read 5\Z"):
        list(in_chunks(work, 40, 4, workers))
