"""A sound set-up is ready to train; for a broken one the verdict names the fault."""

import re
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from support import for_classes, make_run, read_json, train

from trainer.core.errors import ConfigError, Interrupted
from trainer.dataset.digits import Digits
from trainer.job.trial.job import scaled

FAST = ("job=trial", "job.batches=5", "model=mlp")
QUICKLY = ("optimizer.lr=0.01",)  # learns in a quarter of the steps
CANVAS = ("dataset=digits_canvas", "dataset.size=16", "dataset.digits=1", "dataset.examples=200")
UNET = (*CANVAS, "model=unet", "model.width=16", "model.depth=1", "job.overfit=8", *QUICKLY)
BOX = (*CANVAS, "dataset.target=box", "task=regression", "loss=mse")
CLEAN = (*UNET, "dataset.target=clean", "task=regression", "loss=mse")


def outcome(folder) -> tuple[str, dict[str, bool]]:
    """Read the verdict of a trial, and by check whether it passed."""
    result = read_json(folder / "result.json")
    return result["verdict"], {check["name"]: check["passed"] for check in result["checks"]}


def try_out(folder, *overrides: str) -> str:
    """Run a trial; returns its verdict."""
    assert train(folder, *FAST, *overrides) == 0
    return read_json(folder / "result.json")["verdict"]


def details(folder) -> dict[str, str]:
    """The details of a trial's checks by name."""
    checks = read_json(folder / "result.json")["checks"]
    return {check["name"]: check["detail"] for check in checks}


@pytest.fixture
def loss_settings(monkeypatch: pytest.MonkeyPatch):
    """Makes a function importable; returns the settings that use it as the loss."""
    module = ModuleType("users_losses")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def settings_of(function) -> list[str]:
        vars(module)["f"] = function
        return ["loss=function", "loss.function=users_losses.f"]

    return settings_of


@pytest.mark.parametrize("mining", [*sorted(set(for_classes("mining")) - {"rho"}), "two_pass"])
def test_a_sound_set_up_is_ready(tmp_path, mining):
    """In two passes the rows kept wait: the first step and others have no loss or gradient."""
    chosen = [f"mining={mining}"]
    if mining == "two_pass":
        chosen = ["mining=selective_backprop", "mining.mode=two_pass"]
    assert train(tmp_path / "t", *FAST, *QUICKLY, *chosen) == 0
    verdict, checks = outcome(tmp_path / "t")
    assert verdict == "ready to train", checks
    assert len(checks) == 8
    result = read_json(tmp_path / "t" / "result.json")
    assert result["total_seconds"] == pytest.approx(2 * result["epoch_seconds"])
    assert result["images_per_second"] > 0
    assert result["flops_per_image"] == 2 * (64 * 64 + 64 * 10)
    assert result["flops_per_second"] > 3 * result["flops_per_image"]
    assert result["utilisation"] is None


@pytest.mark.parametrize("overrides", [UNET, BOX, CLEAN], ids=["mask", "vector", "image"])
def test_every_task_can_be_tried(tmp_path, overrides):
    """The loss at the start is compared with ln C for 11 classes of pixels, or given as r2."""
    verdict = try_out(tmp_path / "t", *overrides)
    checks = details(tmp_path / "t")
    assert verdict == "ready to train", checks
    start = r"[23]\.\d+, ln C is 2\.398$" if overrides is UNET else r"^mse [\d.e-]+, r2 -?[\d.]+;"
    assert re.search(start, checks["loss at start"])
    metric = "mean_iou" if overrides is UNET else "r2"
    assert re.match(rf"^{metric} (0\.9|1\.0)\d+ on \d+ training", checks["overfits"])
    assert "chance" in checks["generalises"]


def test_a_model_that_cannot_learn_is_not_ready(tmp_path):
    verdict = try_out(tmp_path / "t", "init=zeros")
    assert verdict.startswith("not ready: layers.1.weight, layers.1.bias, layers.3.weight")
    assert "gradient" in verdict
    assert "job=diagnose" in verdict
    _, checks = outcome(tmp_path / "t")
    assert checks["loss at start"]


@pytest.mark.parametrize(
    "overrides",
    [[], ["optimizer=sgd"], ["nonfinite=skip", "max_skips=0"], [*UNET], [*BOX, "optimizer=sgd"]],
    ids=["adam", "sgd", "skip", "mask", "regression"],
)
def test_a_rate_too_large_is_named(tmp_path, overrides):
    verdict = try_out(tmp_path / "t", *overrides, "optimizer.lr=100")
    too_high = r"optimizer\.lr=100 is too high: the loss went from [\d.]+ to \d\S*e\+\d+"
    assert re.match(f"^not ready: {too_high}", verdict), verdict


def test_a_rate_that_kills_every_unit_is_named(tmp_path):
    """A gradient disappears during the first steps."""
    settings = ["model=simple_cnn", "optimizer=sgd", "optimizer.lr=2", "job.batches=20"]
    verdict = try_out(tmp_path / "t", *settings)
    assert verdict.startswith("not ready: optimizer.lr=2 is too high")
    assert "conv1.weight" in verdict


def test_a_learning_rate_that_explodes_later_is_found(tmp_path):
    """The loss explodes only after the first five steps."""
    settings = ["model=simple_cnn", "optimizer=sgd", "optimizer.lr=2", "job.overfit_steps=50"]
    verdict = try_out(tmp_path / "t", *settings)
    assert re.match(
        r"^not ready: optimizer.lr=2 is too high: the loss went from 2\.3 to \d", verdict
    )
    assert read_json(tmp_path / "t" / "result.json")["checks"][-1]["name"] == "overfits"


def test_a_learning_rate_too_small_to_learn_is_reported(tmp_path):
    verdict = try_out(tmp_path / "t", "optimizer.lr=1e-9", "job.overfit_steps=20")
    pattern = r"^not ready: .* 64 training examples: ([\d.]+) .*\1 after 20 steps.*lr=1e-10\b"
    assert re.match(pattern, verdict), verdict


def test_a_slow_learning_rate_is_no_fault(tmp_path):
    assert try_out(tmp_path / "t", "optimizer.lr=1e-4") == "ready to train"
    pattern = r"the loss falls from [\d.]+ to [\d.]+; optimizer.lr=0.001 .*\d+ steps"
    assert re.search(pattern, details(tmp_path / "t")["overfits"])


def test_a_lower_learning_rate_that_works_is_named(tmp_path):
    """At 0.5 the loss does not fall, nor does it explode in the first five steps."""
    settings = ["model=simple_cnn", "optimizer=sgd", "optimizer.lr=0.5", "job.overfit_steps=100"]
    verdict = try_out(tmp_path / "t", *settings)
    assert verdict.startswith("not ready: the loss does not fall on 64 training examples: 2.3")
    assert "optimizer.lr=0.05 learns them in " in verdict


def test_a_loss_that_is_never_finite_is_a_finding(tmp_path, loss_settings):
    loss = loss_settings(lambda outputs, labels: F.cross_entropy(outputs, labels) * float("nan"))
    verdict = try_out(tmp_path / "t", *loss)
    some = r"examples \[0, \d+, \d+, \d+, \d+\] is not finite"
    assert re.match(f"^not ready: .*{some}; .*not finite at the first step$", verdict), verdict


def test_a_loss_non_finite_at_any_rate_is_not_blamed_on_the_rate(tmp_path, loss_settings):
    """The loss is NaN from the second batch on."""
    calls = []

    def loss(outputs, labels):
        calls.append(1)
        late = torch.is_grad_enabled() and sum(calls) > 40
        return F.cross_entropy(outputs, labels, reduction="none") * (torch.nan if late else 1)

    verdict = try_out(tmp_path / "t", *loss_settings(loss), "job.batches=100")
    assert "not ready" in verdict
    assert "hundredth of optimizer.lr=0.001" in verdict
    assert "too high" not in verdict


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, labels: -outputs.log_softmax(1).amax(1),  # rewards confidence in any class
        lambda outputs, labels: F.cross_entropy(outputs, labels, label_smoothing=1.0),
    ],
    ids=["entropy", "smoothing"],
)
def test_a_loss_that_ignores_the_labels_is_reported(tmp_path, loss_settings, loss):
    verdict = try_out(tmp_path / "t", *loss_settings(loss))
    assert verdict.startswith("not ready")
    assert "does not depend on the labels" in verdict


def test_a_loss_of_another_task_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^loss=mse .*class labels.*loss=\S+$"):
        train(tmp_path / "t", *FAST, "loss=mse")
    assert not (tmp_path / "t").exists()


def test_random_training_labels_are_reported(tmp_path):
    """Nine of ten labels wrong, uniformly over the other classes, are independent of the image."""
    verdict = try_out(tmp_path / "t", "dataset.label_noise=0.9")
    other = r"(val|unseen training) accuracy 0\.[01]\d .*\(0\.[01]\d\)"
    assert re.search(
        f"labels do not match the images: {other}, training accuracy 0\\.[5-9]", verdict
    )


@pytest.fixture
def shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shuffles the labels of the digits against the images, in all splits."""
    load = Digits.load

    def wrong(self):
        raw = load(self)
        order = torch.randperm(len(raw.train.labels), generator=torch.Generator().manual_seed(0))
        return replace(raw, train=replace(raw.train, labels=raw.train.labels[order]))

    monkeypatch.setattr(Digits, "load", wrong)


@pytest.mark.usefixtures("shuffled")
def test_labels_shuffled_against_the_images_are_reported(tmp_path):
    verdict = try_out(tmp_path / "t", *QUICKLY)
    assert verdict.startswith("not ready: labels do not match the images: ")
    assert details(tmp_path / "t")["overfits"].startswith("accuracy 1.000 on 64")


@pytest.mark.parametrize(
    "overrides",
    [
        ["dataset.label_noise=0.7"],  # seven of ten wrong
        ["dataset.imbalance=50"],
        ["dataset.subset=80"],
        ["dataset.val_fraction=0"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_hard_data_is_ready_to_train(tmp_path, overrides):
    assert try_out(tmp_path / "t", *QUICKLY, *overrides) == "ready to train", details(
        tmp_path / "t"
    )


@pytest.mark.usefixtures("shuffled")
def test_too_few_examples_leave_generalisation_unknown(tmp_path):
    """With two classes and 29 validation examples, no conclusion is possible."""
    settings = ["dataset.classes=[3,8]", "job.generalise_steps=100"]
    assert try_out(tmp_path / "t", *settings) == "ready to train"
    detail = details(tmp_path / "t")["generalises"]
    assert re.search(r"too few examples.*val accuracy 0\.", detail)


def test_no_test_image_is_read(tmp_path):
    class Untouchable:
        shape = (1, 8, 8)

        def __len__(self):
            return 1797

        def read(self, ids):
            pytest.fail("test images were read")

    run = make_run(tmp_path, "device=cpu", "model=mlp", "job=trial", "job.batches=5")
    run.data = replace(run.data, test=replace(run.data.test, images=Untouchable()))
    assert run.do()["verdict"] == "ready to train"


def test_a_signal_ends_the_trial(tmp_path):
    run = make_run(tmp_path, "device=cpu", "model=mlp", "job=trial", "job.batches=5")
    run.signals.received = 15
    with pytest.raises(Interrupted):
        run.do()
    assert not (tmp_path / "checkpoints").exists()


def test_numbers_with_a_prefix():
    assert [scaled(v) for v in (0, 999, 9472, 1.5e6, 9.9e11, 2e18)] == [
        *("0 ", "999 ", "9.47 k", "1.5 M", "990 G", "2e+03 P")
    ]
