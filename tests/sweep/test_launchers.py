"""Hydra's other launchers; those that are not installed are skipped."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import read_json

ROOT = Path(__file__).parents[2]
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=1",),  # more import torch in a process each
    "submitit_local": ("hydra.launcher.timeout_min=5",),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_failure_leaves_the_others_and_the_exit_code_is_1(
    tmp_path: Path, launcher: str
) -> None:
    package = f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher"
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    own = (
        f"hydra/launcher={launcher}",
        *LAUNCHERS[launcher],
        "job._target_=acts.Act",
        "device=cpu",
    )
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "-m", *own, "+job.act=odd", "seed=1,-1,2"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "seed must be in [0, 9.2e18], got -1"
    statuses = [read_json(path) for path in sorted((tmp_path / "outputs").glob("*/*/status.json"))]
    assert [(status["state"], status["exit_code"]) for status in statuses] == [
        ("failed", 1),
        ("finished", 0),
    ]
    assert statuses[0]["error"] == "RuntimeError: oops"
