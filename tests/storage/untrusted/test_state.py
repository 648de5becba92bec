"""A tensor of a foreign checkpoint that is not what its part expects is refused, never loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import forge, only_checkpoint, saved
from support import SMALL, make_run, train
from torch import Tensor

from trainer.core.errors import CheckpointError
from trainer.storage import checkpoint

TWO = (*SMALL, "dataset.subset=60", "batch_size=16", "model.hidden=[8]", "epochs=2")
SETTINGS = {
    "adam": ["optimizer=adam"],
    "adagrad": ["optimizer=adagrad"],
    "lion, ema": ["optimizer=lion", "ema=0.9"],
    "adabound, swa": ["optimizer=adabound", "swa=1ep"],
    "sgd, hard_example": ["optimizer=sgd", "mining=hard_example", "mining.warmup_epochs=0"],
    "hard_negative": ["mining=hard_negative", "mining.mode=bootstrap"],
    "misclassified": ["mining=misclassified", "mining.warmup_epochs=0"],
    "selective_backprop": ["mining=selective_backprop"],
    "infobatch": ["mining=infobatch"],
    "importance": ["mining=importance"],
    "ghm": ["loss=ghm"],
    "superloss": ["loss=superloss"],
}
WRONG: dict[str, Callable[[Tensor], Any]] = {
    "one element": lambda value: torch.full((1,), 10_000).to(value.dtype),  # as an id, of no row
    "three bools": lambda _: torch.zeros(3, dtype=torch.bool),
    "no memory": lambda value: value.new_zeros(()).expand(value.shape or (2,)),
    "one less": lambda value: value.new_zeros(max(value.numel() - 1, 0), 2),
    "twice as many": lambda value: torch.cat([value.reshape(-1)] * 2).reshape(2, -1),
    "another dtype": lambda value: value.to(torch.complex64),
    "sparse": lambda value: torch.zeros(value.shape or (2,)).to_sparse(),
    "a number": lambda _: 1,
    "a text": lambda _: "x",
}


@pytest.fixture(scope="module", params=SETTINGS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A folder trained for an epoch with some components, and the settings that resume it."""
    folder = tmp_path_factory.mktemp("state") / "run"
    overrides = [*TWO, *SETTINGS[request.param]]
    assert train(folder, *overrides, "epochs=1") == 0
    yield folder, overrides
    shutil.rmtree(folder)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to each tensor of a nested state."""
    if isinstance(value, Tensor):
        yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def changed(state: Any, path: tuple[Any, ...], change: Callable[[Tensor], Any]) -> Any:
    """Return the state with one tensor replaced."""
    if not path:
        return change(state)
    return {**state, path[0]: changed(state[path[0]], path[1:], change)}


def test_every_tensor_is_checked(run):
    folder, overrides = run
    step = only_checkpoint(folder)
    body = (step / "state.pt").read_bytes()
    state = torch.load(step / "state.pt", weights_only=True)
    resumed = make_run(folder, *overrides, "resume=auto")
    resumed.fit.reporter.log.close()
    places = list(leaves(state))
    assert places
    for place in places:
        for name, change in WRONG.items():
            if (place[-1], name) == ("window", "one element"):
                continue  # it may have any length
            forge(step, "state.pt", saved(changed(state, place, change)))
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
    forge(step, "state.pt", saved(changed(state, place, lambda _: torch.zeros(1))))
    assert train(tmp_path / "run", *TWO, "optimizer=adam", "resume=auto") == 5
    error = capfd.readouterr().err
    assert "optimizer: state.0.exp_avg is float32 [1], not float32 [8, " in error
    assert error.count("\n") == 1
