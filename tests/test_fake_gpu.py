"""Where there is no GPU, its tests run on a stand-in, in a process that loads it before torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parent


@pytest.mark.skipif(torch.cuda.is_available(), reason="test_gpu.py has a GPU")
@pytest.mark.skipif(shutil.which("g++") is None, reason="the stand-in needs g++")
def test_the_tests_of_a_gpu_pass():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "fake_gpu", "test_gpu.py"]
    paths = [str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        command, check=False, cwd=TESTS, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
