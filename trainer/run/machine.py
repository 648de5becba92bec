"""The name of the device that a run uses: runs of different ones are not compared by seconds."""

import platform
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

CPU = Path("/proc/cpuinfo")


def machine(device: torch.device) -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor()


@cache
def processor() -> str:
    """The model of the processor as Linux calls it, elsewhere its kind."""
    with suppress(OSError):
        if found := re.search(r"^model name\s*: (.+)$", CPU.read_text("utf-8"), re.MULTILINE):
            return found[1].strip()
    return platform.processor() or platform.machine()
