"""Every loss × mining × mixer takes real steps on the digits, alone and accumulated."""

import math

import pytest
import torch
from support import make_run, options

from trainer.job.train import make_fit
from trainer.log import Log
from trainer.report import Report
from trainer.run import Run

COMBINATIONS = [
    (loss, mining, mixer)
    for loss in options("loss")
    for mining in options("mining")
    for mixer in options("mixer")
]


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
    ("loss", "mining", "mixer"), COMBINATIONS, ids=["-".join(names) for names in COMBINATIONS]
)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps(tmp_path, loss, mining, mixer, accumulate):
    overrides = ["model=mlp", "epochs=2", "batch_size=64", f"accumulate={accumulate}"]
    overrides += ["dataset.val_fraction=0.9", "checkpoint.monitor=val/accuracy", "device=cpu"]
    run = make_run(tmp_path, *overrides, loss=loss, mining=mining, mixer=mixer)
    moved = two_epochs(run)
    assert math.isfinite(moved)
    assert moved > 1e-3
