"""On a GPU: a step never synchronises with it, and learns the same as on a CPU."""

import pytest
import torch
from support import make_run, read_json, train

from trainer.core.duration import Clock
from trainer.core.errors import NonFiniteError
from trainer.core.seed import StepId

pytestmark = pytest.mark.gpu

CHOICES = {
    "plain": (),
    "augmented": ("augmentation=standard", "mixer=mixup"),
    "mined": ("mining=ohem_two_pass", "clip=1.0", "ema=0.9"),
    "bf16": ("precision=bf16", "channels_last=true"),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_a_step_never_waits_for_the_gpu(tmp_path, choice):
    """PyTorch raises wherever the CPU would wait; the first steps are exempt, as they allocate."""
    run = make_run(tmp_path / "run", "device=cuda", "model=simple_cnn", *CHOICES[choice])
    step = run.assemble_step(Clock(10.0, 100.0)).step
    assert step.guard.deferred
    batches = run.loader.open(run.data.train, run.device).batches(run.planner.plan(0))
    try:
        for number, batch in enumerate(batches):
            torch.cuda.set_sync_debug_mode("error" if number > 2 else "default")
            step(batch, StepId(0, 0, number), number * len(batch))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert number > 3
    step.guard.read_flag()


def test_losses_equal_those_on_a_cpu(tmp_path):
    losses = {}
    for device in ("cpu", "cuda"):
        chosen = ("model=mlp", "optimizer=sgd", "steps=20", f"device={device}")
        assert train(tmp_path / device, *chosen) == 0
        losses[device] = read_json(tmp_path / device / "result.json")["val"]["loss"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=1e-3)  # TF32 is off by default


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(tmp_path, precision):
    chosen = ("model=simple_cnn", "epochs=5", "device=cuda", f"precision={precision}")
    assert train(tmp_path / "run", *chosen) == 0
    assert read_json(tmp_path / "run" / "result.json")["val"]["accuracy"] > 0.8


def test_a_non_finite_step_changes_no_weights(tmp_path):
    """Until the host reads the flag on the device, the weights stay unchanged."""
    run = make_run(tmp_path / "run", "device=cuda", "model=mlp")
    step = run.assemble_step(Clock(10.0, 100.0)).step
    batch = next(run.loader.open(run.data.train, run.device).batches(run.planner.plan(0)))
    step(batch, StepId(0, 0, 0), 0)
    before = [p.detach().clone() for p in run.model.parameters()]
    bad = batch.with_images(torch.full_like(batch.images, torch.nan, dtype=torch.float32))
    step(bad, StepId(0, 0, 1), 0)
    step(batch, StepId(0, 0, 2), 0)
    for own, was in zip(run.model.parameters(), before, strict=True):
        assert torch.equal(own, was)
    with pytest.raises(NonFiniteError, match="step 1"):
        step.guard.read_flag()
