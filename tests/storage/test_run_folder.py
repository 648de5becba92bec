"""A run folder has one owner at a time, and is free once the owner is dead."""

import os
import signal
import time

import pytest

from trainer.core.errors import BusyError
from trainer.storage.run_folder import RunFolder


def test_a_folder_is_free_once_its_owner_is_dead_even_if_workers_live(tmp_path):
    """A loader's workers are forked from the owner: they must not keep its lock."""
    read_end, write_end = os.pipe()
    owner = os.fork()
    if not owner:
        RunFolder(tmp_path).claim(fresh=True)
        worker = os.fork()
        if worker:
            os.write(write_end, str(worker).encode())
        time.sleep(60)
        os._exit(0)
    worker = int(os.read(read_end, 20))
    try:
        with pytest.raises(BusyError, match=f"in use by process {owner} on"):
            RunFolder(tmp_path).claim(fresh=True)
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        os.kill(worker, 0)  # raises unless it lives
        free = RunFolder(tmp_path)
        free.claim(fresh=True)
        assert free.lock is not None
    finally:
        os.kill(worker, signal.SIGKILL)
