"""The train step never synchronises with a GPU: it reads no value of a device tensor.

On PyTorch's `meta` device tensors have shapes and no values, so that whatever would copy one to the
CPU, or meet one that lies there, raises. The optimizer is left out: its fused form has no `meta`.
"""

import pytest
import torch
from support import for_classes, make_run, options

from trainer.core.batch import Batch
from trainer.core.duration import Clock
from trainer.core.seed import StepId
from trainer.mining.shared.row_queue import LateNumber
from trainer.run.run import Run
from trainer.training.step import Step

ROWS = 16
META = torch.device("meta")
MASKS = ("dataset=digits_canvas", "task=segmentation", "model=unet", "model.width=4")
LABELS = ("dataset=digits_canvas", "dataset.target=labels", "task=multilabel")
BOXES = ("dataset=digits_canvas", "dataset.target=boxes", "task=detection", "model=ssd")
READS_ONCE = ("hard_negative", "rho")  # before the first step: labels, a reference model
CHOICES: dict[str, tuple[str, ...]] = {
    "in chunks": ("accumulate=2", "mining=ohem", "mixer=cutmix"),
    "clipped and averaged": ("clip=1.0", "ema=0.9"),
    "sam": ("sam=0.05", "accumulate=2"),
    "batch norm": ("model=resnet_cifar", "model.depth=8", "model.width=2"),
    "augmented": ("augmentation=standard", "mixer=chain"),
    "excess": ("mixer=mixup", "mining=ohem", "mining.rank_by=excess"),
    "masks": (*MASKS, "mining=ohem", "augmentation=[horizontal_flip,rotate]", "mixer=cutmix"),
    "several labels": (*LABELS, "loss=focal", "loss.form=sigmoid", "mixer=ricap", "mining=ohem"),
    "asymmetric": (*LABELS, "loss=asymmetric", "mixer=mixup", "mining.score=margin", "mining=ohem"),
    "dice": (*MASKS, "loss=dice_cross_entropy"),
    "anchors": (*BOXES, "mining=hard_negative"),
    "anchors in two passes": (*BOXES, "mining=ohem_two_pass"),
}


COMPONENTS = [
    *(("loss", name) for name in for_classes("loss")),
    *(("mining", name) for name in for_classes("mining") if name not in READS_ONCE),
    *(("mixer", name) for name in options("mixer")),
]


@pytest.fixture
def on_meta(tmp_path, monkeypatch):
    """Builds run and step from settings as for a GPU, but on the meta device, without values."""

    def make(*overrides: str, **groups: str) -> tuple[Run, Step]:
        run = make_run(tmp_path / "run", "device=cpu", "model=mlp", *overrides, **groups)
        assert len(run.data.train)  # opened before the device is switched
        monkeypatch.setattr(run, "device", META)
        monkeypatch.setattr("trainer.run.assemble.reads_each_step", lambda *_, **__: False)
        step = run.assemble_step(Clock(10.0, 100.0)).step
        monkeypatch.setattr(step.guard.optimizer, "step", lambda: None)
        return run, step

    return make


def take(run: Run, step: Step) -> None:
    """Train two steps in the fourth epoch, when every miner's warmup is over."""
    labels = run.data.train.labels[:ROWS, None]
    kept = run.data.target in ("multilabel", "boxes")
    labels = (labels if kept else labels.long()).to(META)
    images = torch.empty(ROWS, *run.data.shape, dtype=torch.uint8, device=META)
    ids, one = torch.arange(ROWS, device=META), torch.ones(ROWS, device=META)
    for number in range(2):
        batch = Batch(images, labels, one[:, None], ids[:, None], one, one)
        step(batch, StepId(0, 3, number), number * ROWS)


@pytest.mark.parametrize(("group", "option"), COMPONENTS)
def test_of_every_component(on_meta, group, option):
    run, step = on_meta(**{group: option})
    take(run, step)
    assert step.cost.backward > 0
    assert step.guard.trained()[0].grad.device == META


@pytest.mark.parametrize("choice", CHOICES)
def test_of_settings_together(on_meta, choice):
    run, step = on_meta(*CHOICES[choice])
    take(run, step)
    assert step.cost.backward > 0


@pytest.mark.parametrize("stale", [1, 2, 3])  # 3: the scores of an earlier epoch are used
def test_of_two_passes_apart_from_the_number_that_is_read_late(on_meta, monkeypatch, stale):
    """A copy of how many rows wait is begun in one step and read in the next."""
    monkeypatch.setattr(LateNumber, "send", lambda *_: None)
    monkeypatch.setattr(LateNumber, "read", lambda _: ROWS)
    two = ("mining=selective_backprop", "mining.mode=two_pass", f"mining.stale={stale}")
    run, step = on_meta(*two, "mixer=mixup", "augmentation=standard")
    take(run, step)
    assert step.cost.backward == 2 * ROWS
    assert step.cost.forward == (2 if stale == 3 else 4) * ROWS


def test_what_reads_a_value_is_found(on_meta):
    run, step = on_meta()
    step.guard.deferred = False
    with pytest.raises(RuntimeError, match="cannot be called on meta tensors"):
        take(run, step)
