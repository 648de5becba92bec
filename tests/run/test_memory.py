"""What the allocator gives back to the system."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, resource, torch
from trainer.run.memory import keep_freed_memory

def new_pages():
    for round in range(21):
        blocks = [torch.ones(10_000_000) for _ in range(2)]
        del blocks
        if round == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if os.fork() == 0:
    kept = keep_freed_memory()
    print(kept, new_pages(), flush=True)
    os._exit(0)
os.wait()
print(new_pages())
"""


def test_freed_blocks_are_not_mapped_anew() -> None:
    """Ten times two blocks of 40 MB are 200,000 pages; where they are kept, few are new."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    set_up, kept, plain = done.stdout.split()
    if set_up != "True":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < int(plain) / 10
