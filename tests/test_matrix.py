"""Every classification loss × mining × mixer takes real steps on the digits.

Every loss is combined with every miner, unmixed or under one mixer, which changes from pair to pair
so that every loss and every miner meets every mixer and none. Batches alternate between whole and
chunked. Losses of other tasks are tested in tests/loss, and mining for other targets in
tests/mining/test_targets.py.
"""

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from support import for_classes, make_run, options

from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.run import Run
from trainer.training.reporter import Reporter

LOSSES, MINERS, MIXERS = for_classes("loss"), for_classes("mining"), options("mixer")
COMBINATIONS = [
    (loss, mining, MIXERS[(i + j) % len(MIXERS)], "13"[(i + j // len(MIXERS)) % 2])
    for i, loss in enumerate(LOSSES)
    for j, mining in enumerate(MINERS)
]


@pytest.fixture(scope="session")
def required(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Settings that an option of mining requires, by option."""
    reference: Path = tmp_path_factory.mktemp("reference") / "irreducible.csv"
    reference.write_text("id,loss\n" + "".join(f"{i},{i % 7}\n" for i in range(1797)))
    return {"rho": {"reference": str(reference)}}


def two_epochs(run: Run) -> float:
    """Train on 128 digits for two epochs; return the distance that the weights moved."""
    log = Log(run.folder.path, pytest.fail)
    try:
        fit = assemble(run, run.folder, Reporter(log, run.console, run.data, 2), run.signals)
        before = [p.detach().clone() for p in run.model.parameters()]
        fit()
    finally:
        log.close()
    moved = [(p - b).norm() for p, b in zip(run.model.parameters(), before, strict=True)]
    return torch.stack(moved).norm().item()


def test_every_loss_and_every_miner_meets_every_mixer_in_a_batch_of_either_kind():
    for group, names in enumerate((LOSSES, MINERS)):
        met = {(one[group], one[2]) for one in COMBINATIONS}
        assert met == set(product(names, MIXERS))
        assert {(one[group], one[3]) for one in COMBINATIONS} == set(product(names, "13"))


@pytest.mark.parametrize(
    ("loss", "mining", "mixer", "accumulate"), COMBINATIONS, ids=["-".join(c) for c in COMBINATIONS]
)
def test_a_combination_trains(tmp_path, required, loss, mining, mixer, accumulate):
    overrides = ["model=mlp", "epochs=2", "batch_size=64", f"accumulate={accumulate}"]
    overrides += ["dataset.subset=128", "dataset.val_fraction=0", "device=cpu"]
    overrides += ["checkpoint.every=2ep"]  # a single save, and no validation, to save time
    run = make_run(tmp_path, *overrides, loss=loss, mining=mining, mixer=mixer)
    if loss == "elr" and mixer != "none":  # it learns from unmixed images
        run.config["mixer"] = run.config["mixer"] | {"probability": 0.5}
    run.config["mining"] = run.config["mining"] | required.get(mining, {})
    moved = two_epochs(run)
    assert math.isfinite(moved)
    assert moved > 1e-3
