"""Tensors from a worker process to the main process: in shared memory, or through a pipe.

Shared memory takes a file in /dev/shm and an open file in both processes for each tensor.
Containers often have 64 MB of it, and `ulimit -n` may be low: what does not fit takes the pipe.
"""

import os
import re
import resource
from typing import Any

import numpy as np
import torch
from torch.utils.data import get_worker_info

SHARED = "/dev/shm"  # noqa: S108  (a mount, not a temporary file)
MARGIN = 2**20  # bytes of it to leave free
FEW_FILES = 512  # with a lower limit of open files nothing is shared


def packed(value: Any) -> Any:
    """A worker's result with its tensors ready to be sent; the same in the main process."""
    if get_worker_info() is None:
        return value
    if isinstance(value, list):
        return [packed(part) for part in value]
    if not isinstance(value, torch.Tensor):
        return value
    free = free_shared_memory()
    if open_files() >= FEW_FILES and (free is None or free >= value.nbytes + MARGIN):
        try:
            return value.share_memory_()
        except (RuntimeError, OSError):
            pass  # another worker was faster
    return value.numpy()


def unpacked(value: Any) -> Any:
    """What was packed."""
    if isinstance(value, list):
        return [unpacked(part) for part in value]
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def free_shared_memory() -> int | None:
    """The free bytes of shared memory; None where it is not a mounted file system."""
    try:
        found = os.statvfs(SHARED)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def open_files() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def shortage(error: BaseException) -> str | None:
    """The limit that made starting or hearing a worker fail; None if no limit did."""
    text = str(error)
    if "Too many open files" in text or "ancdata" in text:
        return f"more open files than ulimit -n={open_files()} allows"
    if re.search(r"No space left on device|shared memory", text):
        free = free_shared_memory()
        return f"more shared memory than {SHARED} has" + (
            "" if free is None else f" ({free / 2**20:.0f} MB free)"
        )
    if isinstance(error, OSError) and re.search(r"temporarily unavailable|allocate memory", text):
        processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
        return f"more processes or memory than there are ({error.strerror}; ulimit -u={processes})"
    return None
