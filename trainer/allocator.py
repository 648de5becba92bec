"""The C library's allocator, told to keep what tensors give back.

A step frees and asks for the same tens of MB over and over. glibc maps blocks above its threshold
(at most 32 MB) anew each time and returns a free heap's end to the system, so that every pass pays
for page faults: with batch 256 a quarter of `simple_cnn`'s step.
"""

import ctypes

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3  # of mallopt(3)
LARGEST = 2**30  # bytes: what is larger is mapped and returned as before


def keep_freed_memory() -> bool:
    """Let freed blocks below 1 GB stay with the process; whether the C library has the settings."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library, with settings of its own
    settings = {MMAP_THRESHOLD: LARGEST, TRIM_THRESHOLD: LARGEST, TOP_PAD: 2**26}
    return all(mallopt(which, value) for which, value in settings.items())
