"""Whether there is a GPU, and the tests' stand-in for one. Imports no torch: the stand-in is first.

See tests/fake_gpu.py: tensors say `cuda:0`, keep a GPU's rules and hold their values on the CPU.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"


def gpus() -> int:
    """Count the GPUs that the driver sees; 0 without a driver."""
    number = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(number)):
        return 0
    return number.value


@contextmanager
def on(device: str) -> Iterator[str]:
    """Yield torch's name of `cuda`, `cpu` or `stand-in`, which is there inside the context.

    Raises RuntimeError for a stand-in that comes after torch, CalledProcessError where its
    library does not compile, FileNotFoundError without g++.
    """
    if device != "stand-in":
        yield device
        return
    if "torch" in sys.modules and "fake_gpu" not in sys.modules:
        raise RuntimeError("the stand-in is to be loaded before torch")
    sys.path.insert(0, str(TESTS))
    from fake_gpu import fake_gpu  # pyright: ignore

    with fake_gpu():
        yield "cuda"
