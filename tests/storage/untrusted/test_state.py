"""A tensor of a foreign checkpoint that is not what its part expects is refused, never loaded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import only_checkpoint
from support import SMALL, make_run, train
from torture_parts.foreign_state import WRONG, forge, replaced, saved, tensors

from trainer.core.errors import CheckpointError
from trainer.core.state import match
from trainer.storage import checkpoint
from trainer.storage.saved_run import SavedRun

TWO = (*SMALL, "dataset.subset=60", "batch_size=16", "model.hidden=[8]", "epochs=2")
SETTINGS = {
    "adam, hard_negative, ghm": ["mining=hard_negative", "mining.mode=bootstrap", "loss=ghm"],
    "adagrad, misclassified": [
        *("optimizer=adagrad", "mining=misclassified", "mining.warmup_epochs=0"),
    ],
    "lion, ema, selective_backprop": ["optimizer=lion", "ema=0.9", "mining=selective_backprop"],
    "adabound, swa, infobatch": ["optimizer=adabound", "swa=1ep", "mining=infobatch"],
    "sgd, hard_example": ["optimizer=sgd", "mining=hard_example", "mining.warmup_epochs=0"],
    "sgd, importance, superloss": ["optimizer=sgd", "mining=importance", "loss=superloss"],
    "sgd, selective_backprop in two passes, elr": [
        *("optimizer=sgd", "mining=selective_backprop", "mining.mode=two_pass"),
        *("mining.stale=2", "mining.warmup_epochs=0", "loss=elr"),
    ],
}


@pytest.fixture(scope="module", params=SETTINGS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A folder trained for an epoch with some components, and the settings that resume it."""
    folder = tmp_path_factory.mktemp("state") / "run"
    overrides = [*TWO, "model.hidden=[]", *SETTINGS[request.param]]
    assert train(folder, *overrides, "epochs=1") == 0
    yield folder, overrides
    shutil.rmtree(folder)


def test_every_tensor_is_checked(run):
    folder, overrides = run
    step = only_checkpoint(folder)
    body = (step / "state.pt").read_bytes()
    state = torch.load(step / "state.pt", weights_only=True)
    resumed = make_run(folder, *overrides, "resume=auto")
    resumed.fit.reporter.log.close()
    places = list(tensors(state))
    assert places
    seen = set()
    for place in places:
        kind = tuple(key for key in place if not isinstance(key, int))  # of any parameter
        changes = dict(list(WRONG.items())[: 1 if kind in seen else None])
        seen.add(kind)
        for name, change in changes.items():
            forge(step, "state.pt", saved(replaced(state, place, change)))
            with pytest.raises(CheckpointError, match=f"{place[0]}: |state\\.pt: "):
                load(resumed.fit, step, f"{name} at {place}")
    forge(step, "state.pt", body)
    load_step(resumed.fit, step)


def load(fit: Any, step: Path, about: str) -> None:
    load_step(fit, step)
    pytest.fail(f"loaded {about}")


def load_step(fit: Any, step: Path) -> None:
    found = checkpoint.load(step)
    fit.load({**found.state, "model": found.model})
    assert fit.progress.epoch == 1


def test_on_the_command_line_it_is_exit_code_5(tmp_path, capfd):
    assert train(tmp_path / "run", *TWO, "optimizer=adam", "epochs=1") == 0
    step = only_checkpoint(tmp_path / "run")
    state = torch.load(step / "state.pt", weights_only=True)
    place = ("optimizer", "state", 0, "exp_avg")
    forge(step, "state.pt", saved(replaced(state, place, lambda _: torch.zeros(1))))
    assert train(tmp_path / "run", *TWO, "optimizer=adam", "resume=auto") == 5
    error = capfd.readouterr().err
    assert "optimizer: state.0.exp_avg is float32 [1], not float32 [8, " in error
    assert error.count("\n") == 1


VALUES = {  # where, and what no run has there
    "progress.epoch": -1,
    "progress.step": 10**30,
    "progress.position": 2.5,
    "progress.seconds": float("nan"),
    "progress.cost.backward": -5,
    "progress.logged": (0, -1.0),
    "optimizer.param_groups": 5,
    "saver": 5,
    "saver.best_step": "x",
    "early_stopping": None,
    "log": -1,
}


def test_plain_values_are_checked_too(tmp_path: Path) -> None:
    folder, settings = tmp_path / "run", [*TWO, "early_stopping=patience"]
    assert train(folder, *settings, "epochs=1") == 0
    step = only_checkpoint(folder)
    state = torch.load(step / "state.pt", weights_only=True)
    resumed = make_run(folder, *settings, "resume=auto")
    resumed.fit.reporter.log.close()
    lines = (folder / "metrics.jsonl").read_text()
    for name, value in VALUES.items():
        forge(
            step, "state.pt", saved(replaced(state, tuple(name.split(".")), lambda _, v=value: v))
        )
        with pytest.raises(CheckpointError, match=f"{name.partition('.')[0]}: "):
            load(resumed.fit, step, name)
        assert (folder / "metrics.jsonl").read_text() == lines, name
        if name == "saver":
            with pytest.raises(CheckpointError, match="saver is 5"):
                SavedRun.at(str(folder)).checkpoint(pytest.fail)


def test_a_rate_that_is_a_whole_number_is_loaded_as_a_float() -> None:
    """torch's optimizers cannot convert one that has more than 64 bits."""
    assert match(0.5, 2) == 2.0
    assert type(match(0.5, 2)) is float
    with pytest.raises(ValueError, match="not of type float"):
        match(0.5, 10**30)
