"""Hydra's other launchers; those that are not installed are skipped."""

import importlib.util
from pathlib import Path

import pytest
from forks import Fork
from support import read_json

ROOT = Path(__file__).parents[2]
LAUNCHERS = {
    "joblib": ("hydra.launcher.n_jobs=1",),  # more import torch in a process each
    "submitit_local": ("hydra.launcher.timeout_min=5",),
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_failure_leaves_the_others_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
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
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")  # of the processes it starts
    code, _, error = Fork(tmp_path, "-m", *own, "+job.act=odd", "seed=1,-1,2").done()
    assert code == 1
    assert error.decode().splitlines()[0] == "seed must be in [0, 9.2e18], got -1"
    statuses = [read_json(path) for path in sorted((tmp_path / "outputs").glob("*/*/status.json"))]
    assert [(status["state"], status["exit_code"]) for status in statuses] == [
        ("failed", 1),
        ("finished", 0),
    ]
    assert statuses[0]["error"] == "RuntimeError: oops"
