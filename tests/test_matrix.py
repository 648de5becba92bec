"""Every loss × mining × mixer takes real steps on the digits, whole and accumulated in turn."""

import math
from pathlib import Path

import pytest
import torch
from support import make_run, options

from trainer.job.train import make_fit
from trainer.log import Log
from trainer.report import Report
from trainer.run import Run

COMBINATIONS = [
    (loss, mining, mixer, "13"[(i + j + k) % 2])
    for i, loss in enumerate(options("loss"))
    for j, mining in enumerate(options("mining"))
    for k, mixer in enumerate(options("mixer"))
]


@pytest.fixture(scope="session")
def required(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Settings that an option of mining cannot do without."""
    reference: Path = tmp_path_factory.mktemp("reference") / "irreducible.csv"
    reference.write_text("id,loss\n" + "".join(f"{i},{i % 7}\n" for i in range(1797)))
    return {"rho": {"reference": str(reference)}}


def two_epochs(run: Run) -> float:
    """Train on 128 digits for two epochs; how far the weights moved."""
    log = Log(run.folder.path, pytest.fail)
    fit = make_fit(run, Report(log, run.console, run.data, 2))
    before = [p.detach().clone() for p in run.model.parameters()]
    fit()
    log.close()
    moved = [(p - b).norm() for p, b in zip(run.model.parameters(), before, strict=True)]
    return torch.stack(moved).norm().item()


@pytest.mark.parametrize(
    ("loss", "mining", "mixer", "accumulate"), COMBINATIONS, ids=["-".join(c) for c in COMBINATIONS]
)
def test_steps(tmp_path, required, loss, mining, mixer, accumulate):
    overrides = ["model=mlp", "epochs=2", "batch_size=64", f"accumulate={accumulate}"]
    overrides += ["dataset.val_fraction=0.9", "checkpoint.monitor=val/accuracy", "device=cpu"]
    run = make_run(tmp_path, *overrides, loss=loss, mining=mining, mixer=mixer)
    run.config["mining"] = run.config["mining"] | required.get(mining, {})
    moved = two_epochs(run)
    assert math.isfinite(moved)
    assert moved > 1e-3
