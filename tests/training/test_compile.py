"""compile=true: two graphs for a whole run, the same results, and seconds of its own.

The backend is one that only counts, and that makes the clock leap: torch's takes its time.
"""

import time

import pytest
import torch
from support import config_of, digest, events, fitted, read_json, train

from trainer.config.schema import validate
from trainer.core.compiled import MODES, compiled
from trainer.core.errors import ConfigError

LEAP = 1000.0  # seconds that a graph takes to compile
CHOSEN = ("dataset.subset=75", "dataset.val_fraction=0.2", "batch_size=16", "eval_batch_size=8")


@pytest.fixture
def graphs(monkeypatch) -> list[int]:
    """The numbers of tensors that each graph was compiled for."""
    made, clock, torchs = [], time.perf_counter, torch.compile

    def backend(graph, inputs):
        made.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + LEAP * len(made))
    monkeypatch.setattr(torch, "compile", lambda model, mode: torchs(model, backend=backend))
    torch.compiler.reset()
    return made


def test_a_run_compiles_twice(tmp_path, graphs):
    """60 rows in batches of 16 have a short last one; 15 of val in batches of 8 too.

    On a CPU fewer than 16 rows are convolved in another way.
    """
    chosen = (*CHOSEN, "model=resnet_cifar", "model.depth=8", "model.width=2")
    chosen = (*chosen, "mining=ohem", "swa=1ep")
    plain = fitted(tmp_path / "plain", *chosen)
    fit = fitted(tmp_path / "run", *chosen, "compile=true")
    assert len(graphs) == 2
    assert digest(fit) == digest(plain)
    val = [event for event in events(tmp_path / "run") if event["split"] == "val"]
    assert [event["compile_seconds"] // LEAP for event in val] == [2, 2]
    assert val[-1]["train_seconds"] < LEAP


def test_the_seconds_of_compilation_stand_in_the_result(tmp_path, graphs):
    chosen = (*CHOSEN, "model=mlp", "model.hidden=[4]", "quiet=true", "epochs=1", "compile=true")
    assert train(tmp_path / "run", *chosen, "dataset.val_fraction=0") == 0
    result = read_json(tmp_path / "run" / "result.json")
    assert result["compile_seconds"] // LEAP == len(graphs) == 2  # the test split is the second
    assert result["train_seconds"] < LEAP


def test_a_single_row_makes_no_graph(graphs):
    run = compiled(torch.nn.Linear(3, 2), setting=True, rows=4, eval_rows=4)
    assert run is not None
    assert [len(run(torch.ones(rows, 3))) for rows in (1, 4, 2, 1, 3)] == [1, 4, 2, 1, 3]
    assert len(graphs) == 1


def test_modes():
    assert MODES["max-autotune"] in torch._inductor.list_mode_options()
    validate(config_of("compile=max-autotune"))
    for value, hint in (("reduce-overhead", "take compile=true or max-autotune"), ("4", "got 4")):
        with pytest.raises(ConfigError, match=f"^compile.*{hint}$"):
            validate(config_of(f"compile={value}"))
