"""A run folder has one owner at a time, and is free once the owner is dead."""

import os
import signal
import time

import pytest

from trainer.core.errors import BusyError
from trainer.storage.run_folder import RunFolder


def test_a_dead_owners_folder_is_free_while_its_workers_live(tmp_path):
    """A loader's workers are forked from the owner: they must not keep its lock."""
    told, tell = os.pipe()
    owner = os.fork()
    if not owner:
        RunFolder(tmp_path).claim(fresh=True)
        worker = os.fork()
        if worker:
            os.write(tell, str(worker).encode())
        time.sleep(60)
        os._exit(0)
    worker = int(os.read(told, 20))
    try:
        with pytest.raises(BusyError, match=f"in use by process {owner} on"):
            RunFolder(tmp_path).claim(fresh=True)
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        os.kill(worker, 0)  # it lives
        RunFolder(tmp_path).claim(fresh=True)
    finally:
        os.kill(worker, signal.SIGKILL)
