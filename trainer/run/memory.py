"""Memory: the peak, what is available, the errors that say it is full, the allocator."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from contextlib import suppress
from pathlib import Path

import torch

GROUP = Path("/sys/fs/cgroup")  # of a container, version 2
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
LARGEST_KEPT = 2**30  # bytes: what is larger is mapped and returned as before
SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # in errors of other types


def reset_peak(device: torch.device) -> None:
    """Reset the peak that `peak` returns, where the system can; otherwise it only grows."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text(
                "5", encoding="ascii"
            )  # proc(5): the peak resident set


def peak(device: torch.device) -> int:
    """Peak memory in bytes: of the GPU if that is the device, otherwise of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def free(device: torch.device) -> None:
    """Release what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def available() -> float:
    """Bytes of host memory available without swapping, within the container's limit."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = dict(line.split(":") for line in lines)
        host = float(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        host = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # `max` means no limit
        limit, used = ((GROUP / f"memory.{name}").read_text("ascii") for name in ("max", "current"))
        return min(host, float(limit) - float(used))
    return host


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory is full."""
    named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return named or any(sign in str(error) for sign in SIGNS)


def keep_freed_memory() -> bool:
    """Keep freed blocks below 1 GB in the process. Returns whether the C library can.

    A step frees and allocates the same tens of MB over and over. glibc maps blocks above its
    threshold (at most 32 MB) afresh each time and returns the free end of the heap to the system,
    so every pass pays for page faults. Without this, `simple_cnn` on MNIST, one thread, takes 1.19
    times the processor time per step at batch 256 (8,592 page faults per step instead of 97) and
    1.06 times at batch 64 (37 instead of 23): medians of 9 alternating pairs of processes on a busy
    2-core x86-64 virtual machine, single pairs 0.88 to 1.44 and 0.86 to 1.14.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library, with settings of its own
    settings = {MMAP_THRESHOLD: LARGEST_KEPT, TRIM_THRESHOLD: LARGEST_KEPT, TOP_PAD: 2**26}
    return all(mallopt(which, value) for which, value in settings.items())
