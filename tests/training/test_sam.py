"""Sharpness-aware steps against algorithm 1 written out: two passes, one update."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from support import make_run
from torch import Tensor, nn

from trainer.core.batch import Batch, only
from trainer.core.duration import Clock
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.mining.base import Miner
from trainer.mining.ohem import Ohem
from trainer.training.sam import ascended
from trainer.training.step import Step

MOMENT = StepId(seed=3, epoch=0, step=7)
RADIUS = 0.5
LR = 0.1
SGD = ("optimizer=sgd", "optimizer.momentum=0", f"optimizer.lr={LR}", "device=cpu", "batch_size=24")
DIGITS = ("model=mlp", "model.hidden=[16]", "dataset.subset=24")
CANVAS = ("dataset=digits_canvas", "dataset.examples=60", "dataset.size=16", "dataset.digits=1")
UNET = (*CANVAS, "model=unet", "model.width=4", "model.depth=1", "model.dropout=0.5")


def stepping(folder, *overrides) -> tuple[Step, Batch]:
    """Build the step of a config; return it with the first batch."""
    run = make_run(folder, *SGD, f"sam={RADIUS}", *overrides)
    step = run.assemble_step(Clock(10, 100)).step
    feed = run.loader.open(run.data.train, run.device)
    return step, next(iter(feed.batches(run.planner.plan(0))))


def parameters_of(step: Step) -> list[Tensor]:
    return [p.detach().clone() for p in step.forward.model.parameters()]


def slow(step: Step, batch: Batch, *, mask: int = MOMENT.step) -> tuple[list[Tensor], nn.Module]:
    """Return weights w − lr·∇L(w + ρ·∇L(w)/‖∇L(w)‖) and the model after its first pass.

    `mask` is the step whose dropout the second pass has.
    """
    batch = step.prepare(batch, MOMENT, 0)
    first, second = copy.deepcopy(step.forward.model), copy.deepcopy(step.forward.model)
    seed_torch(torch.device("cpu"), MOMENT.seed, Purpose.STEP, MOMENT.step)
    F.cross_entropy(first(batch.images), batch.labels[:, 0]).backward()
    gradients = [p.grad for p in first.parameters()]
    norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
    with torch.no_grad():
        for p, g in zip(second.parameters(), gradients, strict=True):
            p.add_(g, alpha=RADIUS / norm)
    seed_torch(torch.device("cpu"), MOMENT.seed, Purpose.STEP, mask)
    F.cross_entropy(second(batch.images), batch.labels[:, 0]).backward()
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return [w.detach() - LR * near.grad for w, near in pairs], first


def differ(a: list[Tensor], b: list[Tensor]) -> float:
    return max((x - y).abs().max().item() for x, y in zip(a, b, strict=True))


def test_the_gradient_by_hand():
    """L = ½‖w‖², w = (3, 4): gradient w of norm 5; at ρ = 1, point and gradient are 1.2·w."""
    model = nn.Linear(2, 1, bias=False)
    (w,) = model.parameters()
    w.data = torch.tensor([[3.0, 4.0]])
    w.square().sum().div(2).backward()
    with ascended(model, [w], torch.tensor(5.0), 1.0):
        torch.testing.assert_close(w.data, torch.tensor([[3.6, 4.8]]))
        assert w.grad is None
        w.square().sum().div(2).backward()
    assert w.tolist() == [[3, 4]]
    torch.testing.assert_close(w.grad, torch.tensor([[3.6, 4.8]]))


@pytest.mark.parametrize("overrides", [DIGITS, UNET], ids=["classes", "masks"])
def test_a_step_is_algorithm_1(tmp_path, overrides):
    """With BatchNorm and dropout: both passes use the same dropout mask."""
    step, batch = stepping(tmp_path, *overrides)
    before = parameters_of(step)
    expected, model = slow(step, batch)
    other, _ = slow(step, batch, mask=MOMENT.step + 1)
    plain = [w - LR * p.grad for w, p in zip(before, model.parameters(), strict=True)]
    step(batch, MOMENT, 0)
    after = parameters_of(step)
    torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)
    assert differ(expected, plain) > 1e-3, "a second gradient"
    assert (differ(expected, other) > 1e-3) is (overrides is UNET), "another mask is another step"


def test_statistics_move_once(tmp_path):
    step, batch = stepping(tmp_path, *UNET)
    _, model = slow(step, batch)
    step(batch, MOMENT, 0)
    expected = dict(model.named_buffers())
    assert any("num_batches_tracked" in name for name in expected)
    for name, buffer in step.forward.model.named_buffers():
        assert torch.equal(buffer, expected[name]), name


def test_accumulation_equals_the_large_batch(tmp_path):
    for mining in ("none", "ohem"):
        whole, batch = stepping(tmp_path, *DIGITS, f"mining={mining}")
        parts, _ = stepping(tmp_path, *DIGITS, f"mining={mining}", "accumulate=5")
        for step in (whole, parts):
            step(batch, MOMENT, 0)
        torch.testing.assert_close(parameters_of(whole), parameters_of(parts))


class Watch(Miner):
    """Counts the batches and ranks it observes."""

    shown = 0

    def observe(self, batch, ranks):
        self.shown += len(batch)


def test_seen_once_and_paid_twice(tmp_path):
    step, batch = stepping(tmp_path, *DIGITS, "accumulate=3")
    step.miner = Watch()
    step(batch, MOMENT, 0)
    assert step.miner.shown == len(batch) == 24
    assert sum(len(item[1]) for item in step.meter.pending) == 24
    assert (step.cost.forward, step.cost.backward) == (48, 48)


def test_the_second_pass_has_the_weights_of_the_first(tmp_path):
    """OHEM keeps the hardest rows at w, not at the nearby point."""
    step, batch = stepping(tmp_path, *DIGITS)
    step.miner = Ohem(keep=0.25)
    model = copy.deepcopy(step.forward.model)
    images, labels = step.prepare(batch, MOMENT, 0).images, batch.labels[:, 0]
    losses = F.cross_entropy(model(images), labels, reduction="none")
    kept = losses.argsort(descending=True, stable=True)[:6]
    expected, _ = slow(step, batch.select(kept))
    step(batch, MOMENT, 0)
    torch.testing.assert_close(parameters_of(step), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["nothing counts", "not finite", "not finite nearby"])
def test_a_step_that_is_not_taken_changes_nothing(tmp_path, case):
    step, batch = stepping(tmp_path, *UNET, "nonfinite=skip", "ema=0.9")
    if case == "nothing counts":
        batch = only(batch, torch.zeros(len(batch), dtype=torch.bool))
    elif case == "not finite":
        batch = batch.with_images(batch.images.float().index_fill(0, torch.tensor(2), math.nan))
    else:
        step.sam = math.inf
    model = step.forward.model
    before = copy.deepcopy(model.state_dict())
    averaged = copy.deepcopy(step.average.weights())
    step(batch, MOMENT, 0)
    for name, value in model.state_dict().items():
        if case == "nothing counts" and name.rpartition(".")[2] not in ("weight", "bias"):
            continue  # a forward pass updates the statistics, as without sam
        assert torch.equal(value, before[name]), name
    assert all(torch.equal(value, averaged[n]) for n, value in step.average.weights().items())
    assert step.average.state_dict()["number"] == 0
    assert step.meter.pending == []


def test_the_gradient_is_clipped_after_the_second_pass(tmp_path):
    plain, batch = stepping(tmp_path, *DIGITS)
    clipped, _ = stepping(tmp_path, *DIGITS, "clip=0.01")
    before = parameters_of(plain)
    for step in (plain, clipped):
        step(batch, MOMENT, 0)
    scale = 0.01 / plain.norm
    expected = [w + scale * (a - w) for w, a in zip(before, parameters_of(plain), strict=True)]
    torch.testing.assert_close(parameters_of(clipped), expected, rtol=1e-4, atol=1e-7)
