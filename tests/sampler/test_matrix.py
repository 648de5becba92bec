"""Every sampler trains two short epochs on the digits with one miner of each type."""

import math

import pytest
import torch
from support import make_run, options

from trainer.history.store import DifficultyStore
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.training.reporter import Reporter

MINERS = ("none", "hard_example", "infobatch", "ohem")
OVERRIDES = ("model=mlp", "epochs=2", "batch_size=64", "dataset.val_fraction=0.9", "device=cpu")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Overrides for samplers with a required setting, by name."""
    folder = tmp_path_factory.mktemp("reference")
    data = make_run(folder, *OVERRIDES).data.train
    store = DifficultyStore(folder / "examples", len(data.labels), (), torch.device("cpu"))
    store.describe(ids=data.ids, labels=data.labels)
    store.add(data.ids, {"loss": torch.rand(len(data), generator=torch.Generator().manual_seed(0))})
    store.flush(0)
    return {
        "trim_hardest": (f"sampler.reference={folder}", "sampler.trim=0.2"),
        "prune": ("sampler.by=random",),
    }


@pytest.mark.parametrize("mining", MINERS)
@pytest.mark.parametrize("sampler", options("sampler"))
def test_two_epochs_change_the_weights(tmp_path, settings, sampler, mining):
    overrides = [*OVERRIDES, f"sampler={sampler}", *settings.get(sampler, ())]
    overrides += [f"accumulate={1 if mining == 'none' else 3}", "mixer=mixup"]
    run = make_run(tmp_path, *overrides, mining=mining)
    log = Log(tmp_path, pytest.fail)
    fit = assemble(run, run.folder, Reporter(log, run.console, run.data, 2), run.signals)
    before = [p.detach().clone() for p in run.model.parameters()]
    fit()
    log.close()
    moved = [(p - b).norm() for p, b in zip(run.model.parameters(), before, strict=True)]
    total = torch.stack(moved).norm().item()
    assert math.isfinite(total)
    assert total > 1e-3
