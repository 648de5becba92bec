"""A non-finite loss: the message, the checkpoint, and no change to any other state."""

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support import SMALL, digest, events, make_run, read_json, train

from trainer.core.batch import Batch
from trainer.core.errors import NonFiniteError
from trainer.core.seed import StepId
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.storage import checkpoint
from trainer.training.fit import Fit
from trainer.training.reporter import Reporter
from trainer.training.step import Step

ROW = 1  # the row of the batch that becomes NaN


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes an image NaN in given steps; returns a list that collects their ids."""
    plain = Step.prepare

    def at(*steps: int) -> list[int]:
        ids: list[int] = []

        def prepare(step: Step, batch: Batch, step_id: StepId, *rest: Any) -> Batch:
            prepared = plain(step, batch, step_id, *rest)
            if step_id.step not in steps:
                return prepared
            ids.extend(prepared.index[ROW].tolist())
            images = prepared.images.index_fill(0, torch.tensor([ROW]), math.nan)
            return prepared.with_images(images)

        monkeypatch.setattr(Step, "prepare", prepare)
        return ids

    return at


RESNET = ("model=resnet_cifar", "model.depth=8", "model.width=4")
NETWORK = (*RESNET, "batch_size=64", "dataset.subset=320", "epochs=2")


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    saved = checkpoint.latest(folder / "checkpoints", pytest.fail)
    assert saved is not None
    return saved.model


@pytest.mark.parametrize("more", [(), ("ema=0.9",), ("sam=0.05", "accumulate=2")], ids=" ".join)
def test_raise_names_the_step_and_saves_what_was_before_it(tmp_path, poison, capsys, more):
    """Weights and BatchNorm statistics equal those of a run that ends before the step."""
    assert train(tmp_path / "before", *NETWORK, *more, "steps=7") == 0
    ids = poison(7)
    assert train(tmp_path / "run", *NETWORK, *more) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "step 7, epoch 1" in said
    assert str(ids) in said
    expected = weights_of(tmp_path / "before")
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert saved is not None
    assert saved.path.name == "step-7"
    assert any("running_mean" in name for name in saved.model)
    for name, value in saved.model.items():
        assert torch.equal(value, expected[name]), name
    status = read_json(tmp_path / "run" / "status.json")
    assert (status["state"], status["exit_code"]) == ("failed", 4)
    assert status["error"] == said.strip()


def test_it_resumes_from_there(tmp_path, poison):
    """Once the cause is removed, resuming ends as if it had never been."""
    assert train(tmp_path / "whole", *NETWORK) == 0
    poison(7)
    assert train(tmp_path / "run", *NETWORK) == 4
    poison()
    assert train(tmp_path / "run", *NETWORK, "resume=auto") == 0
    expected = weights_of(tmp_path / "whole")
    for name, value in weights_of(tmp_path / "run").items():
        assert torch.equal(value, expected[name]), name


@contextmanager
def opened(folder: Path, *overrides: str) -> Iterator[Fit]:
    run = make_run(folder, *SMALL, *overrides)
    log = Log(folder, pytest.fail)
    try:
        yield assemble(run, run.folder, Reporter(log, run.console, run.data, 2), run.signals)
    finally:
        log.close()


VARIANTS = (
    (*RESNET, "optimizer=adamw"),
    ("optimizer=sgd", "optimizer.momentum=0.9", "clip=0.1", "ema=0.9"),
    ("optimizer=adabound", "swa=0ep", "mixer=mixup"),
    (*RESNET, "sam=0.05", "accumulate=2"),
    ("mining=reweight", "optimizer=lion"),
    ("mining=selective_backprop",),
    ("mining=infobatch",),
    ("mining=importance", "accumulate=2"),
    ("mining=self_paced", "loss=ghm", "loss.momentum=0.5"),
    ("mining=ohem", "loss=superloss", "accumulate=3"),
    ("mining=hard_example", "mining.every=1"),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
def test_skip_leaves_every_state_as_it_was(tmp_path, poison, variant):
    """Weights, statistics, averages, optimizer, loss, miner and store, bit for bit."""
    poison(3, 4)
    same, skipped = [], []
    with opened(tmp_path, "nonfinite=skip", *variant) as fit:
        fit.planner.refresh(0, fit.scan)
        plan = fit.planner.plan(0)
        bounds = plan.bounds.tolist()
        for i, batch in enumerate(fit.train_feed.batches(plan)):
            fit.learning_rate.apply(fit.step.guard.optimizer, float(i))
            fit.step.meter.flush()
            before = digest(fit)
            fit.step(batch, StepId(0, 0, i), bounds[i])
            fit.step.meter.flush()
            same += [i] * (digest(fit) == before)
            skipped += [i] * (fit.step.guard.in_a_row > 0)
    assert same == skipped
    expected = [3] if "mining=importance" in variant else [3, 4]  # it drew different rows
    assert skipped == expected
    assert plan.steps > 5


def test_skip_gives_up_after_max_skips_in_a_row(tmp_path, poison, capsys):
    skipping = ("nonfinite=skip", "max_skips=2")
    poison(2, 3, 5, 6)
    assert train(tmp_path / "fine", *NETWORK, *skipping) == 0
    lines = [line for line in events(tmp_path / "fine") if line["split"] == "train"]
    assert lines[-1]["step"] == 10
    assert all(math.isfinite(line["loss"]) for line in lines)
    capsys.readouterr()
    poison(4, 5, 6)
    assert train(tmp_path / "run", *NETWORK, *skipping) == 4
    said = capsys.readouterr().err
    assert "step 6" in said
    assert "max_skips=2" in said
    assert "epoch 1, examples [" in said
    assert said.count("\n") == 1
    weights = weights_of(tmp_path / "run")
    assert all(value.isfinite().all() for value in weights.values())


def test_memory_that_is_full_is_exit_code_8_and_changes_nothing(tmp_path, monkeypatch, capsys):
    errors: list[Any] = [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand more"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ]
    plain = Step.__call__
    for i, error in enumerate(errors):

        def fail(step: Step, batch: Batch, step_id: StepId, *rest: Any, error=error) -> None:
            if step_id.step == 6:
                raise error
            plain(step, batch, step_id, *rest)

        monkeypatch.setattr(Step, "__call__", fail)
        folder = tmp_path / str(i)
        assert train(folder, *NETWORK) == 8
        said = capsys.readouterr().err
        assert said.startswith("out of memory on cpu with batch_size=64")
        assert "lower" in said
        assert said.count("\n") == 1
        assert read_json(folder / "status.json")["exit_code"] == 8
        saved = checkpoint.latest(folder / "checkpoints", pytest.fail)
        assert saved is not None
        assert saved.path.name == "step-5", "the previous epoch's"
        assert saved.config["batch_size"] == 64
    monkeypatch.undo()
    shutil.copytree(tmp_path / "0", tmp_path / "again")
    assert train(tmp_path / "again", *NETWORK, "resume=auto") == 0


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_what_is_found_later_is_named_too(tmp_path, poison, policy):
    """As on a GPU, where a step never synchronises: the flag is read at the epoch's end."""
    ids = poison(*((8,) if policy == "raise" else range(8, 14)))
    with opened(tmp_path, f"nonfinite={policy}", "optimizer=adam", "log.every=99ep") as fit:
        assert fit.step.guard.optimizer.param_groups[0]["fused"]
        fit.step.guard.deferred = True
        with pytest.raises(NonFiniteError) as caught:
            fit()
    said = str(caught.value)
    assert "at step 8" in said
    assert ", epoch 1, among the examples [" in said
    assert set(ids[:1]) <= set(map(int, said.rpartition("[")[2].rstrip("]").split(",")))
    saved = checkpoint.latest(tmp_path / "checkpoints", pytest.fail)
    assert saved is not None
    assert all(value.isfinite().all() for value in saved.model.values())
