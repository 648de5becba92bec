"""Mining where a label is a set of classes, a mask, a vector or an image: trained or refused."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import CONF, config_of, node_of, options
from torch import Tensor, nn

from trainer.cli.execute import make_run as new_run
from trainer.core.batch import Batch
from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.core.seed import StepId
from trainer.mining.base import Miner
from trainer.mining.hard_negative import HardNegative
from trainer.mining.ohem import Ohem
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.run import Run
from trainer.storage.run_folder import RunFolder
from trainer.training.reporter import Reporter
from trainer.training.step import Step

CANVAS = ("dataset=digits_canvas", "dataset.examples=50", "dataset.size=16", "dataset.digits=1")
QUICK = ("device=cpu", "epochs=3", "batch_size=16", "dataset.val_fraction=0.2", "loader=memory")
UNET = ("model=unet", "model.width=4", "model.depth=1")
KINDS = {
    "mask": (*UNET, "loss=cross_entropy"),
    "multilabel": ("model=mlp", "task=multilabel", "dataset.target=labels", "loss=bce"),
    "vector": ("model=mlp", "task=regression", "dataset.target=box", "loss=mse"),
    "image": (*UNET, "task=regression", "dataset.target=clean", "loss=mse"),
    "boxes": ("task=detection", "model=ssd", "dataset.target=boxes", "dataset.sides=[8,12]"),
}
MEANINGLESS = {  # by kind of label
    "mask": {"balanced"},
    "multilabel": {"balanced", "hard_negative"},
    "vector": {"balanced", "hard_negative", "misclassified", "importance"},
    "image": {"balanced", "hard_negative", "misclassified", "importance"},
    "boxes": {*options("mining")}
    - {"none", "random", "balanced", "hard_negative", "ohem", "ohem_two_pass"},
}
MOMENT = StepId(0, 0, 0)


class Plain(nn.Module):
    """A single convolution, so that outputs do not depend on the rest of the batch."""

    head = "layer"

    def __init__(self, *, shape: tuple[int, int, int], outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(shape[0], outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images)


def run_of(folder: Path, kind: str, *overrides: str, **nodes: dict[str, Any]) -> Run:
    """A run on a kind of target, with its parts."""
    folder.mkdir(exist_ok=True)
    config = config_of(*CANVAS, *QUICK, *KINDS[kind], *overrides) | nodes
    return new_run(config, RunFolder(folder), Console(quiet=True), [], [str(CONF)])


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    """A file of irreducible losses for all images."""
    file = tmp_path_factory.mktemp("reference") / "irreducible.csv"
    file.write_text("id,loss\n" + "".join(f"{i},{i % 7 / 7}\n" for i in range(40)))
    return str(file)


@pytest.mark.parametrize("mining", options("mining"))
@pytest.mark.parametrize("kind", KINDS)
def test_every_option_trains_or_is_refused(tmp_path, reference, kind, mining):
    """Three epochs, so that miners with a warmup epoch select something."""
    node = node_of("mining", mining) | ({"reference": reference} if mining == "rho" else {})
    run = run_of(tmp_path, kind, mining=node)
    if mining in MEANINGLESS[kind]:
        with pytest.raises(ConfigError, match=rf"^mining={mining} .*{kind} labels.*; take mining"):
            _ = run.data
        return
    log = Log(tmp_path, pytest.fail)
    try:
        fit = assemble(run, run.folder, Reporter(log, run.console, run.data, 3), run.signals)
        before = [p.detach().clone() for p in run.model.parameters()]
        fit()
    finally:
        log.close()
    pairs = zip(run.model.parameters(), before, strict=True)
    moved = torch.stack([(p.detach() - b).norm() for p, b in pairs]).norm()
    assert moved.isfinite()
    assert moved > 1e-3


# Pixels


@cache
def ignored() -> Tensor:
    """Mask [M, H, W] of the pixels labelled 255: the upper rows, a different number per mask."""
    return torch.arange(16)[None, :, None].expand(40, 16, 16) < torch.arange(40)[:, None, None] % 12


def stepping(folder: Path, miner: Miner, accumulate: int = 1) -> tuple[Step, Batch]:
    """A training step with lr 1 on masks with ignored pixels, and a batch."""
    plain = {"_target_": f"{__name__}.Plain"}
    sgd = ("optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=1", f"accumulate={accumulate}")
    run = run_of(folder, "mask", *sgd, model=plain)
    run.data.train.labels.masked_fill_(ignored(), 255)
    run.__dict__["miner"] = miner
    step = run.assemble_step(Clock(1, 10)).step
    feed = run.loader.open(run.data.train, run.device)
    return step, next(iter(feed.batches(run.planner.plan(0))))


def slow_gradient(step: Step, batch: Batch, kept: list[int]) -> list[Tensor]:
    """The gradient of the mean loss over the pixels at the given positions in the batch."""
    model = step.forward.model
    outputs = model(step.prepare(batch, MOMENT, 0).images).movedim(1, -1).reshape(-1, 11)
    losses = F.cross_entropy(outputs[kept], batch.labels.flatten()[kept])
    return list(torch.autograd.grad(losses, list(model.parameters())))


def ranked(step: Step, batch: Batch) -> tuple[list[float], list[int]]:
    """The losses of all pixels, and the positions of those that count, hardest first."""
    labels = batch.labels[:, 0]
    outputs = step.forward.model(step.prepare(batch, MOMENT, 0).images)
    losses = F.cross_entropy(outputs, labels, ignore_index=255, reduction="none").flatten().tolist()
    live = [i for i, label in enumerate(labels.flatten().tolist()) if label != 255]
    return losses, sorted(live, key=lambda i: (-losses[i], i))


def update_of(step: Step, batch: Batch) -> list[Tensor]:
    """The gradient of a step, which SGD with lr 1 subtracts."""
    before = [p.detach().clone() for p in step.forward.model.parameters()]
    step(batch, MOMENT, 0)
    after = step.forward.model.parameters()
    return [b - a.detach() for b, a in zip(before, after, strict=True)]


def test_ohem_keeps_a_part_of_the_pixels_that_count(tmp_path):
    """`keep` is a fraction of the pixels that are not ignored, not of all 16·16·16."""
    step, batch = stepping(tmp_path, Ohem(keep=0.3))
    _, order = ranked(step, batch)
    assert 0 < len(order) < batch.labels.numel()
    number = int(0.3 * len(order) + 0.5)
    expected = slow_gradient(step, batch, order[:number])
    torch.testing.assert_close(update_of(step, batch), expected, rtol=1e-4, atol=1e-6)
    (_, weighed), *_ = step.learn(step.prepare(batch, MOMENT, 0), MOMENT, mining=True).chunks
    assert weighed.count.sum() == number != int(0.3 * batch.labels.numel() + 0.5)


def test_ohem_with_a_threshold_keeps_no_ignored_pixel(tmp_path):
    """With threshold 1 every pixel that counts is selected; an ignored pixel has rank 0."""
    step, batch = stepping(tmp_path, Ohem(threshold=1.0))
    _, order = ranked(step, batch)
    expected = slow_gradient(step, batch, order)
    torch.testing.assert_close(update_of(step, batch), expected, rtol=1e-4, atol=1e-6)


def positives_and_negatives(step: Step, batch: Batch) -> tuple[list[int], list[int]]:
    """Positions of the digit and of the background pixels that count, hardest first."""
    _, order = ranked(step, batch)
    labels = batch.labels.flatten()
    return [i for i in order if labels[i] != 0], [i for i in order if labels[i] == 0]


def test_hard_negatives_of_a_mask_are_three_for_each_positive(tmp_path):
    step, batch = stepping(tmp_path, HardNegative())
    positives, negatives = positives_and_negatives(step, batch)
    assert 3 * len(positives) < len(negatives)
    kept = positives + negatives[: 3 * len(positives)]
    expected = slow_gradient(step, batch, kept)
    torch.testing.assert_close(update_of(step, batch), expected, rtol=1e-4, atol=1e-6)


def test_positives_count_once_when_negatives_run_out(tmp_path):
    """With fewer than 50 negatives per positive, every pixel that counts is kept once."""
    step, batch = stepping(tmp_path, HardNegative(ratio=50.0))
    positives, negatives = positives_and_negatives(step, batch)
    assert 50 * len(positives) > len(negatives)
    expected = slow_gradient(step, batch, positives + negatives)
    twice = slow_gradient(step, batch, 2 * positives + negatives)
    update = update_of(step, batch)
    torch.testing.assert_close(update, expected, rtol=1e-4, atol=1e-6)
    assert max((u - t).abs().max() for u, t in zip(update, twice, strict=True)) > 1e-3


@pytest.mark.parametrize("miner", [Ohem(keep=0.3), HardNegative()], ids=["ohem", "hard_negative"])
def test_accumulation_equals_the_whole_batch(tmp_path, miner):
    """Pixels compete over the whole batch, and their number is that of the whole batch."""
    updates = []
    for accumulate in (1, 3):
        step, batch = stepping(tmp_path / str(accumulate), miner, accumulate)
        updates.append(update_of(step, batch))
    torch.testing.assert_close(*updates, rtol=1e-4, atol=1e-6)
