"""The memory that steps take: its peak, what there is, and the errors that say it is full."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

import torch

GROUP = Path("/sys/fs/cgroup")  # of a container, version 2
SIGNS = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # in errors of other types


def reset_peak(device: torch.device) -> None:
    """Let the peak that `Run.peak_memory` gives begin anew; where it cannot, it only grows."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak resident set


def free(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def available() -> float:
    """Bytes of the host's memory that can be had without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":") for line in lines)
        host = float(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        host = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # no limit is the word max
        limit, used = ((GROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return min(host, float(limit) - float(used))
    return host


def is_full(error: BaseException) -> bool:
    """Whether an error says that memory is full."""
    named = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return named or any(sign in str(error) for sign in SIGNS)
