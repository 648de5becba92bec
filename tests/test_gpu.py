"""On a GPU: a step never waits for it, and a run learns what it learns on a CPU.

Where there is no GPU, tests/test_fake_gpu.py runs this file on a stand-in, on which weights,
optimizer, miner and difficulty store have to equal the CPU's to the bit.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_kernels import GOAL, kernels
from everywhere import DOT
from photos import make_photos
from support import digest, events, fitted, for_classes, make_run, options, read_json, train
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from trainer.core.duration import Clock
from trainer.core.errors import Interrupted, NonFiniteError
from trainer.core.seed import StepId
from trainer.training.fit import Fit
from trainer.training.step import Step

pytestmark = pytest.mark.gpu

OF_TEXTS = ("eda", "synonym_replacement", "random_insertion", "random_swap", "random_deletion")
SHORT = ("batch_size=16", "dataset.val_fraction=0.2", "checkpoint.every=2ep", "epochs=2")
AUGMENTATIONS = [n for n in options("augmentation") if n not in ("none", *OF_TEXTS)]
DIGITS = ("dataset.subset=80",)
GROUPS = {  # each row takes the next option of each group
    "loss": for_classes("loss"),
    "mining": for_classes("mining"),
    "mixer": options("mixer"),
    "sampler": [name for name in options("sampler") if name not in ("prune", "trim_hardest")],
    "augmentation": [f"[{','.join(AUGMENTATIONS[i : i + 2])}]" for i in range(0, 22, 2)],
    "optimizer": options("optimizer"),
}
ROWS = max(map(len, GROUPS.values()))
READS = ("adabound", "lion", "rmsprop")  # no fused form: the guard reads its flag at each step
FAKE = "fake_gpu" in sys.modules
FIRST = 3  # steps in which a real GPU allocates and tunes
DETECTION = ("task=detection", "model=ssd")
CANVAS = ("dataset=digits_canvas", "dataset.examples=60", "dataset.size=16", "dataset.digits=2")
MASKS = (*CANVAS, "task=segmentation", "model=unet", "model.width=4")
LABELS = (*CANVAS, "dataset.target=labels", "task=multilabel")
BOXES = ("dataset=digits_canvas", "dataset.examples=20", "dataset.target=boxes", *DETECTION)
TEXTS = (
    *("dataset=definitions", "dataset.max_length=16", *DIGITS, "model=text_cnn"),
    *("model.dimensions=16", "model.filters=8", "dataset.val_fraction=0.01"),
)
CHOICES: dict[str, tuple[str, ...]] = {
    "in chunks": ("accumulate=2", "mining=ohem", "mixer=cutmix"),
    "clipped and averaged": ("clip=1.0", "ema=0.9"),
    "swa": ("swa=1ep", "optimizer=sgd", "schedule=one_cycle"),
    "sam": ("sam=0.05", "accumulate=2"),
    "batch norm": ("model=resnet_cifar", "model.depth=8", "model.width=2"),
    "fp16": ("precision=fp16",),
    "bf16": ("precision=bf16", "channels_last=true", "model=simple_cnn"),
    "skip": ("nonfinite=skip",),
    "masks": (*MASKS, "mining=ohem", "augmentation=[horizontal_flip,rotate]", "mixer=cutmix"),
    "dice": (*MASKS, "loss=dice_cross_entropy", "mining=ohem_two_pass"),
    "several labels": (*LABELS, "loss=focal", "loss.form=sigmoid", "mixer=ricap", "mining=ohem"),
    "asymmetric": (*LABELS, "loss=asymmetric", "mixer=mixup", "mining.score=margin", "mining=ohem"),
    "anchors": (*BOXES, "mining=hard_negative"),
    "anchors in two passes": (*BOXES, "mining=ohem_two_pass"),
    "texts": (*TEXTS, "augmentation=eda", "mining=ohem"),
    "queue": ("mining=selective_backprop", "mining.mode=two_pass", "mining.stale=2"),
    "streamed": ("loader=stream", "loader.workers=1", "augmentation=standard"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Settings of a folder of photographs, in colours, which are decoded once for all runs."""
    root, cache = (tmp_path_factory.mktemp(name) for name in ("photos", "cache"))
    make_photos(root)
    folder = ("dataset=image_folder", f"dataset.root={root}", f"dataset.cache={cache}")
    return (*folder, "dataset.size=16", "loader=memory")


@pytest.fixture
def strict(monkeypatch):
    """Let PyTorch raise wherever the host would wait inside a step that reads nothing."""
    take, taken, first = Step.__call__, [0], 0 if FAKE else FIRST

    def strictly(step: Step, *args: Any, **kwargs: Any) -> None:
        taken[0] += 1
        watched = step.guard.deferred and taken[0] > first and step.forward.device.type == "cuda"
        torch.cuda.set_sync_debug_mode("error" if watched else "default")
        try:
            take(step, *args, **kwargs)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Step, "__call__", strictly)


REFUSED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "tensors of two devices": lambda gpu, cpu: gpu + cpu,
    "a CPU tensor indexed by a GPU's": lambda gpu, cpu: cpu[gpu.long()],
}
WAITS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "a value is read": lambda gpu, _: gpu[0].item(),
    "a decision": lambda gpu, _: bool(gpu[0] > 0),
    "a shape that depends on values": lambda gpu, _: gpu.nonzero(),
    "a copy to the CPU": lambda gpu, _: gpu.cpu(),
    "a blocking copy from the CPU": lambda gpu, cpu: cpu.to(gpu.device),
    "a mask for an index": lambda gpu, _: gpu[gpu > 0],
}
FLOWS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "a CPU scalar": lambda gpu, cpu: gpu * cpu[0],
    "a copy that nobody waits for": lambda gpu, cpu: cpu.to(gpu.device, non_blocking=True),
    "a choice on the device": lambda gpu, _: torch.where(gpu > 0, gpu, -gpu),
    "an index from the device": lambda gpu, _: gpu[gpu.long()],
}


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    """The numbers 0, 1, 2 on the GPU and on the CPU."""
    return torch.arange(3.0, device="cuda"), torch.arange(3.0)


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(pair, what):
    with pytest.raises(RuntimeError):
        REFUSED[what](*pair)


@pytest.mark.parametrize("what", WAITS)
def test_waiting_is_an_error_where_it_is_forbidden(pair, what):
    WAITS[what](*pair)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError):
            WAITS[what](*pair)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("what", FLOWS)
def test_what_need_not_wait_is_no_error(pair, what):
    torch.cuda.set_sync_debug_mode("error")
    try:
        made = FLOWS[what](*pair)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert made.is_cuda


def both(folder: Path, *overrides: str) -> tuple[Fit, Fit]:
    """Train on the CPU and on the GPU: to the bit on the stand-in, else to rounding."""
    with _disable_current_modes():  # those of the stand-in
        on_cpu = fitted(folder / "cpu", *SHORT, *overrides, "device=cpu")
    on_gpu = fitted(folder / "gpu", *SHORT, *overrides, "device=cuda")
    if FAKE:
        assert digest(on_gpu) == digest(on_cpu), overrides
    val = [[e["loss"] for e in events(folder / d) if e["split"] == "val"] for d in ("cpu", "gpu")]
    assert val[1] == pytest.approx(val[0], rel=0.05), overrides
    return on_cpu, on_gpu


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("row", range(ROWS))
def test_of_components(tmp_path, photos, row):
    chosen = {group: names[row % len(names)] for group, names in GROUPS.items()}
    needs = ["augmentation.cutout.length=0.5"] if "cutout" in chosen["augmentation"] else []
    if chosen["loss"] == "elr":  # it learns from unmixed images
        needs.append("mixer.probability=0.5")
    if chosen["mining"] == "rho":
        (tmp_path / "losses.csv").write_text("id,loss\n" + "".join(f"{i},1\n" for i in range(54)))
        needs.append(f"mining.reference={tmp_path}/losses.csv")
    own = [f"{group}={name}" for group, name in chosen.items()]
    _, on_gpu = both(tmp_path, *photos, *own, *needs)
    assert on_gpu.step.guard.deferred == (chosen["optimizer"] not in READS), own


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("choice", CHOICES)
def test_of_settings(tmp_path, monkeypatch, choice):
    chosen = CHOICES[choice]
    # A CPU would convolve shorter texts, and round in another way.
    monkeypatch.setattr("trainer.model.text_cnn.trimmed", lambda ids: ids)
    data = () if "dataset" in chosen[0] else DIGITS
    _, on_gpu = both(tmp_path, *data, *chosen)
    assert on_gpu.step.guard.deferred == (choice not in ("fp16", "skip"))


@pytest.mark.usefixtures("strict")
def test_of_pieces_of_images_stored_uncut(tmp_path, photos):
    """The CPU's kernel for uint8 rounds otherwise, so that its pixels differ by a level."""
    cut = "augmentation=[random_resized_crop,horizontal_flip]", "dataset.crop=16"
    uncut = "dataset.fit=uncut", "dataset.size=20", "augmentation.random_resized_crop.size=16"
    chosen = *SHORT, *photos, *cut, *uncut
    seen = {}
    for device in ("cpu", "cuda"):
        fit = fitted(tmp_path / device, *chosen, f"device={device}")
        plan = fit.planner.plan(0)
        own = fit.step.cut(plan, StepId(0, 0, 0))
        seen[device] = next(iter(fit.train_feed.batches(plan, cut=own))).images.cpu().int()
    assert fit.step.guard.deferred
    assert (seen["cpu"] - seen["cuda"]).abs().max() <= 1


def test_of_two_stages(tmp_path):
    """torchvision's own assignment of regions to boxes waits, an image at a time."""
    _, on_gpu = both(tmp_path, *BOXES, "model=faster_rcnn", "mining=ohem_two_pass")
    assert on_gpu.step.cost.backward > 0


def test_a_stopped_run_goes_on_to_the_bit(tmp_path):
    chosen = (*SHORT, *DIGITS, "device=cuda", "mining=selective_backprop", "ema=0.9")
    chosen = (*chosen, "checkpoint.every=3st")
    whole = fitted(tmp_path / "whole", *chosen)
    with pytest.raises(Interrupted):
        fitted(tmp_path / "stopped", *chosen, stop_after=4)
    assert digest(fitted(tmp_path / "stopped", *chosen)) == digest(whole)


def test_jobs(tmp_path):
    """On a run that a GPU has trained: the same metrics and predictions as on the CPU."""
    assert train(tmp_path / "run", *SHORT, *DIGITS, "device=cuda") == 0
    found = {}
    for device in ("cpu", "cuda"):
        of = (f"run={tmp_path}/run", f"device={device}")
        assert train(tmp_path / f"e-{device}", "job=evaluate", *of) == 0
        assert train(tmp_path / f"p-{device}", "job=predict", "split=test", *of) == 0
        accuracy = read_json(tmp_path / f"e-{device}" / "result.json")["test"]["accuracy"]
        lines = (tmp_path / f"p-{device}" / "predictions.csv").read_text().splitlines()
        found[device] = accuracy, [line.split(",")[:3] for line in lines]
    assert found["cuda"] == found["cpu"]


def test_the_largest_batch_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.job.find_batch_size.job.picture", lambda _: DOT)
    chosen = ("job=find_batch_size", "job.start=32", "job.largest=32", "model=mlp", "device=cuda")
    assert train(tmp_path / "run", *DIGITS, *chosen) == 0
    assert read_json(tmp_path / "run" / "result.json")["largest"] == 32


@pytest.mark.skipif(not FAKE, reason="scripts/bench_kernels.py counts the kernels of a GPU")
def test_a_step_launches_hardly_more_than_a_bare_loop(tmp_path):
    found = {loop: counts.total() for loop, counts in kernels("resnet20", "cuda", tmp_path).items()}
    assert 100 < found["bare"] < found["trainer"] <= found["bare"] + GOAL


@pytest.mark.skipif(FAKE, reason="the stand-in computes on the CPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(tmp_path, precision):
    chosen = ("model=simple_cnn", "epochs=5", "device=cuda", f"precision={precision}")
    assert train(tmp_path / "run", *chosen) == 0
    assert read_json(tmp_path / "run" / "result.json")["val"]["accuracy"] > 0.8


@pytest.mark.skipif(FAKE, reason="`both` compares every bit")
def test_losses_equal_those_on_a_cpu(tmp_path):
    losses = {}
    for device in ("cpu", "cuda"):
        chosen = ("model=mlp", "optimizer=sgd", "steps=20", f"device={device}")
        assert train(tmp_path / device, *chosen) == 0
        losses[device] = read_json(tmp_path / device / "result.json")["val"]["loss"]
    assert losses["cuda"] == pytest.approx(losses["cpu"], abs=1e-3)  # TF32 is off by default


def test_a_non_finite_step_changes_no_weights(tmp_path):
    """Until the host reads the flag on the device, weights and buffers stay unchanged."""
    run = make_run(tmp_path / "run", "device=cuda", "model=resnet_cifar", "model.depth=8")
    step = run.assemble_step(Clock(10.0, 100.0)).step
    batch = next(run.loader.open(run.data.train, run.device).batches(run.planner.plan(0)))
    step(batch, StepId(0, 0, 0), 0)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    bad = batch.with_images(torch.full_like(batch.images, torch.nan, dtype=torch.float32))
    step(bad, StepId(0, 0, 1), 0)
    step(batch, StepId(0, 0, 2), 0)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    with pytest.raises(NonFiniteError, match="step 1"):
        step.guard.read_flag()
