"""Soft targets: the formula, frozen teachers, and rejected teachers."""

import copy
import math
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support import digest, fitted, make_run, read_json, train
from torch import nn

from trainer.core.errors import ConfigError
from trainer.core.forward import Forward
from trainer.core.seed import StepId
from trainer.dataset import Data
from trainer.distill.shared.teacher import Teacher
from trainer.distill.soft_target import SoftTarget
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.storage import checkpoint
from trainer.training.reporter import Reporter

CPU = torch.device("cpu")


class Constant(nn.Module):
    """A model with the same logits [C] for every image or, with `pixels`, for every pixel."""

    def __init__(self, logits: list[float], *, pixels: bool = False) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.pixels = pixels

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.logits.expand(len(images), -1)
        return logits[:, :, None, None].expand(-1, -1, 2, 2) if self.pixels else logits


def forward_of(model: nn.Module, mean: float = 0.0, std: float = 1.0) -> Forward:
    return Forward(model, mean=(mean,), std=(std,), device=CPU)


def distiller(*models: nn.Module, **settings) -> SoftTarget:
    """A distiller with the given teachers, which standardise images like the student."""
    teachers = [Teacher(forward_of(model), str(i)) for i, model in enumerate(models)]
    names = [teacher.about for teacher in teachers]
    soft_target = SoftTarget(lambda *_: None, teacher=names, **settings)
    soft_target.teachers = teachers
    return soft_target


IMAGES = torch.zeros(1, 1, 2, 2)


def test_by_hand():
    """Teacher (3/4, 1/4) and student (1/2, 1/2) at T = 2: KL = ¾ ln 3/2 + ¼ ln 1/2."""
    outputs = torch.zeros(1, 2)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    for settings, expected in (
        ({"alpha": 0.5}, 0.5 * 3 + 0.5 * 4 * kl),
        ({"alpha": 1.0}, 4 * kl),
        ({"alpha": 0.0}, 3),
        ({"mode": "sum"}, 3 + 4 * kl),
    ):
        soft_target = distiller(Constant([2 * math.log(3), 0.0]), temperature=2, **settings)
        assert soft_target(IMAGES, outputs, torch.tensor([3.0])).item() == pytest.approx(expected)


def test_the_divergence_is_that_of_torch_with_batchmean():
    """The common mistake, `mean`, also divides by the number of classes."""
    rng = torch.Generator().manual_seed(0)
    outputs = torch.randn(6, 10, generator=rng, requires_grad=True)
    teacher = torch.randn(10, generator=rng)
    soft_target = distiller(Constant(teacher.tolist()), temperature=4, alpha=0.9)
    losses = torch.rand(6, generator=rng)
    blended = soft_target(torch.zeros(6, 1, 2, 2), outputs, losses)
    inputs = F.log_softmax(outputs / 4, 1), F.softmax(teacher / 4, 0).expand(6, -1)
    kl = F.kl_div(*inputs, reduction="batchmean")
    assert blended.shape == (6,)
    torch.testing.assert_close(blended.mean(), 0.1 * losses.mean() + 0.9 * 16 * kl)
    with pytest.warns(UserWarning, match="divides the total loss"):
        mistaken = F.kl_div(*inputs, reduction="mean")
    torch.testing.assert_close(kl, 10 * mistaken)
    (gradient,) = torch.autograd.grad(blended.sum(), outputs)
    expected = 0.9 * 4 * ((outputs / 4).softmax(1) - (teacher / 4).softmax(0))
    torch.testing.assert_close(gradient, expected)


def test_several_teachers_are_the_mean_of_their_softened_probabilities():
    """Rather than of their logits; they are softened before averaging."""
    a, b = torch.tensor([4.0, 0.0, -2.0]), torch.tensor([-1.0, 3.0, 0.0])
    soft_target = distiller(Constant(a.tolist()), Constant(b.tolist()), temperature=2)
    targets = soft_target.targets(IMAGES).exp()[0]
    torch.testing.assert_close(targets, ((a / 2).softmax(0) + (b / 2).softmax(0)) / 2)
    assert not torch.allclose(targets, ((a + b) / 4).softmax(0), atol=0.02)


def test_masks_have_a_divergence_for_each_pixel():
    """Averaged over the pixels if the loss is one number per image."""
    rng = torch.Generator().manual_seed(0)
    outputs = torch.randn(3, 4, 2, 2, generator=rng)
    teacher = torch.randn(4, generator=rng)
    soft_target = distiller(Constant(teacher.tolist(), pixels=True), temperature=2, mode="sum")
    images, losses = torch.zeros(3, 1, 2, 2), torch.rand(3, 2, 2, generator=rng)
    blended = soft_target(images, outputs, losses)
    pixel = distiller(Constant(teacher.tolist()), temperature=2, mode="sum")
    expected = pixel(images, outputs[:, :, 1, 0], losses[:, 1, 0])
    torch.testing.assert_close(blended[:, 1, 0], expected)
    single = soft_target(images, outputs, losses.mean((1, 2)))
    torch.testing.assert_close(single, blended.mean((1, 2)))


def test_bad_settings_are_named():
    def restore(*_):
        return None

    with pytest.raises(ValueError, match=r"distill\.teacher must be"):
        SoftTarget(restore)
    with pytest.raises(ValueError, match=r"distill\.temperature must be in \(0, inf\), got 0"):
        SoftTarget(restore, teacher="x", temperature=0)
    with pytest.raises(ValueError, match=r"distill\.alpha must be in \[0, 1\], got 1\.5"):
        SoftTarget(restore, teacher="x", alpha=1.5)


def data_of(noise, classes=("a", "b", "c"), shape=(1, 6, 5)) -> Data:
    split = noise(shape=shape)
    channels = shape[0]
    return Data(split, split, split, classes, (0.5,) * channels, (0.25,) * channels)


def student() -> Forward:
    return forward_of(Constant([0.0] * 3), 0.5, 0.25)


def with_norm(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(4 * 4 * 3, outputs))


def test_the_teacher_never_changes(noise):
    """In eval mode: no batch norm updates, no dropout, no gradient."""
    model = with_norm().train()
    teacher = Teacher(forward_of(model), "t")
    teacher.bind(student(), data_of(noise))
    before = copy.deepcopy(model.state_dict())
    images = torch.randn(8, 1, 6, 5).requires_grad_()
    outputs = teacher(images)
    assert torch.equal(outputs, teacher(images))
    assert not outputs.requires_grad
    assert not any(p.requires_grad for p in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    model.train()  # counter-example: train mode changes the statistics
    with torch.no_grad():
        model(images)
    assert not torch.equal(model[1].running_mean, before["1.running_mean"])


def test_images_are_standardised_for_the_teacher(noise):
    model = with_norm()
    teacher = Teacher(forward_of(model, mean=0.2, std=0.7), "t")
    teacher.bind(student(), data_of(noise))
    pixels = torch.rand(4, 1, 6, 5)
    outputs = teacher((pixels - 0.5) / 0.25)
    with torch.no_grad():
        torch.testing.assert_close(outputs, model((pixels - 0.2) / 0.7))


def test_a_colour_teacher_takes_grey_images(noise):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 3, 3))
    forward = Forward(model, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), device=CPU)
    teacher = Teacher(forward, "t")
    teacher.bind(student(), data_of(noise))
    pixels = torch.rand(4, 1, 6, 5)
    own = (pixels.expand(-1, 3, -1, -1) - forward.mean) / forward.std
    torch.testing.assert_close(teacher((pixels - 0.5) / 0.25), model(own))


@pytest.mark.parametrize(
    ("model", "classes", "shape", "message"),
    [
        (with_norm(4), None, (1, 6, 5), "distill.teacher=t.* 4 classes.* 3"),
        (with_norm(), None, (1, 9, 9), r"distill.teacher=t.*\(1, 9, 9\)"),
        (with_norm(), None, (3, 6, 5), "distill.teacher=t.* 1 channel,.* 3"),
        (with_norm(), ("a", "c", "d"), (1, 6, 5), r"t has the classes \[a, c, d\].* \[a, b, c\]"),
    ],
)
def test_a_teacher_that_does_not_match_the_data_is_rejected(noise, model, classes, shape, message):
    teacher = Teacher(forward_of(model), "t", classes)
    with pytest.raises(ValueError, match=message):
        teacher.bind(student(), data_of(noise, shape=shape))


def test_outputs_of_a_teacher_are_matched_to_classes_by_name(noise):
    model = with_norm()
    teacher = Teacher(forward_of(model, 0.5, 0.25), "t", ("c", "a", "b"), size=(6, 5))
    teacher.bind(student(), data_of(noise))
    images = torch.randn(4, 1, 6, 5)
    with torch.no_grad():
        c, a, b = model(images).unbind(1)
    assert torch.equal(teacher(images), torch.stack([a, b, c], 1))


def test_a_teacher_of_another_image_size_is_rejected(noise):
    teacher = Teacher(forward_of(with_norm()), "t", size=(12, 10))
    message = "distill.teacher=t was trained on images of 12×10, the data has 6×5"
    with pytest.raises(ValueError, match=message):
        teacher.bind(student(), data_of(noise))


def test_a_task_without_classes_is_rejected(noise):
    soft_target = SoftTarget(lambda *_: None, teacher="x")
    data = data_of(noise)
    numbers = replace(data, train=replace(data.train, labels=data.train.labels.float()))
    with pytest.raises(ValueError, match="does not support vector labels; take distill=none"):
        soft_target.prepare(student(), numbers)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A run of a small convolutional network, trained for an epoch on another split."""
    folder = tmp_path_factory.mktemp("runs") / "teacher"
    assert train(folder, "model=simple_cnn", "epochs=1", "seed=7") == 0
    return folder


def settings(teacher, *more: str) -> list[str]:
    return ["distill=soft_target", f"distill.teacher={teacher}", *more]


def test_the_loss_of_a_step_is_blended_with_the_teachers(teacher, tmp_path):
    """The blended loss is recomputed from the weights of both models, without the distiller."""
    mixing = ("mixer=mixup", "augmentation=[random_crop]", "batch_size=64")
    run = make_run(tmp_path, "model=mlp", "device=cpu", *settings(teacher, *mixing))
    seen = {}

    def record(images, outputs, losses):
        seen.update(images=images, outputs=outputs, losses=losses)
        seen["blended"] = run.distiller(images, outputs, losses)
        return seen["blended"]

    log = Log(tmp_path, pytest.fail)
    fit = assemble(run, run.folder, Reporter(log, run.console, run.data, 1), run.signals)
    fit.step.distiller = record
    fit.step(next(iter(fit.train_feed.batches(run.planner.plan(0)))), StepId(0, 0, 0), 0)
    log.close()
    other = make_run(tmp_path, "model=simple_cnn", "seed=7", "device=cpu")
    best = read_json(teacher / "result.json")["best_step"]
    saved = checkpoint.load(checkpoint.step_folder(teacher / "checkpoints", best))
    other.model.load_state_dict(saved.model)
    other.model.eval()
    pixels = seen["images"] * run.forward.std + run.forward.mean
    with torch.no_grad():
        logits = other.model((pixels - other.forward.mean) / other.forward.std)
    kl = F.kl_div(
        (seen["outputs"] / 4).log_softmax(1), (logits / 4).softmax(1), reduction="none"
    ).sum(1)
    expected = 0.1 * seen["losses"] + 0.9 * 16 * kl
    torch.testing.assert_close(seen["blended"], expected, rtol=1e-4, atol=1e-5)
    assert len(seen["blended"]) == 64


def test_the_teacher_is_not_saved_and_a_resumed_run_has_the_same_bits(teacher, tmp_path):
    overrides = settings(f"[{teacher},{teacher}]")
    whole = fitted(tmp_path / "whole", *overrides)
    with pytest.raises(BaseException, match="stopped by signal"):
        fitted(tmp_path / "cut", *overrides, stop_after=5)
    assert digest(fitted(tmp_path / "cut", *overrides)) == digest(whole)
    model = make_run(tmp_path, "model=mlp").model
    assert set(whole.model.state_dict()) == set(model.state_dict())
    assert "distiller" not in whole.stateful()
    alone = fitted(tmp_path / "alone")
    assert digest(alone) != digest(whole)


def test_a_distilled_run_is_evaluated_without_its_teacher(teacher, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(teacher, copied)
    assert train(tmp_path / "s", *settings(copied, "distill.mode=sum", "epochs=1")) == 0
    shutil.rmtree(copied)
    arguments = ["job=evaluate", f"run={tmp_path / 's'}"]
    assert train(tmp_path / "e", *arguments) == 0
    metrics = read_json(tmp_path / "e" / "result.json")["test"]
    assert metrics == pytest.approx(read_json(tmp_path / "s" / "result.json")["test"])


def test_a_missing_run_is_rejected_before_data_opens(tmp_path, capsys):
    folder = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"distill\.teacher=nowhere: no run there"):
        train(folder, *settings("nowhere"))
    assert not folder.exists()


def test_a_teacher_of_other_classes_is_rejected_in_one_line(teacher, tmp_path, capsys):
    code = train(tmp_path / "run", *settings(teacher, "dataset.threshold_class=true"))
    assert code == ConfigError.exit_code
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"distill.teacher={teacher} has 10 classes")
    assert "11" in error
    assert "\n" not in error
