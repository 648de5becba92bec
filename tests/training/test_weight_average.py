"""Weight averages: by hand, against torch's own, and through interrupted runs."""

import copy
import math

import pytest
import safetensors.torch
import torch
from support import digest, fitted, make_run, read_json, train
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from trainer.core.duration import Clock
from trainer.core.errors import Interrupted
from trainer.core.seed import StepId
from trainer.storage import checkpoint
from trainer.training.fit import Fit
from trainer.training.weight_average import (
    Average,
    Averaged,
    Ema,
    Swa,
    build_average,
    cumulative_statistics,
)

CLOCK = Clock(10, 40)
CANVAS = ("dataset=digits_canvas", "dataset.examples=60", "dataset.size=16", "dataset.digits=1")
UNET = (*CANVAS, "batch_size=8", "model=unet", "model.width=4", "model.depth=1")
SAVED = ("dataset.val_fraction=0.4", "checkpoint.monitor=val/mean_iou")


class One(nn.Module):
    """A weight, and an integer counter like BatchNorm's."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def become(self, value: float) -> None:
        self.w.data.fill_(value)
        self.seen += 1


def never() -> None:
    pytest.fail("there are no statistics to estimate")


# By hand


def test_ema_by_hand():
    """d = 1/10, 2/11, then 0.2 rather than 3/12."""
    model = One()
    average, expected = Ema(model, 0.2), 0.0
    for value, d in ((1.0, 1 / 10), (2.0, 2 / 11), (4.0, 0.2), (8.0, 0.2)):
        model.become(value)
        average.after_step()
        average.after_epoch(10.0)
        expected = d * expected + (1 - d) * value
        assert average.weights()["w"].item() == pytest.approx(expected)
    assert expected == pytest.approx(7.112)
    assert average.weights()["seen"] == 4, "a counter is copied"


def test_swa_is_the_mean_of_the_epochs_ends_from_its_start():
    model = One()
    average, seen = Swa(model, "0.5run", CLOCK), []
    for epoch, value in enumerate((1.0, 2.0, 4.0, 9.0)):
        model.become(value)
        average.after_step()
        for _ in range(2):  # an epoch's end repeated after a stop counts once
            average.after_epoch(10.0 * (epoch + 1))
        seen.append(average.weights()["w"].item())
    assert seen == [1, 2, 3, 5], "the weights themselves, then the means of 2, 4 and 2, 4, 9"


def test_swa_begins_at_its_start_whatever_is_rounded():
    """0.07run of 100 epochs is 7.000000000000001 steps of one an epoch."""
    average = Swa(One(), "0.07run", Clock(1, 100))
    assert average.start > 7
    average.after_epoch(6.0)
    assert average.number == 0
    average.after_epoch(7.0)
    assert average.number == 1


def test_a_start_after_the_end_is_refused():
    with pytest.raises(ValueError, match="swa=5ep is 50 steps, but the run has 40"):
        Swa(One(), "5ep", CLOCK).check_start(CLOCK)
    Swa(One(), "4ep", CLOCK).check_start(CLOCK)
    Ema(One(), 0.9).check_start(CLOCK)


# Two sets of weights


def tied() -> nn.Sequential:
    """Two layers that share one weight, and BatchNorm."""
    torch.manual_seed(0)
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.BatchNorm1d(3), second)


def moved(average: Averaged, steps: int = 3) -> nn.Module:
    """Apply a few random updates to the model of an average, and return it."""
    for _ in range(steps):
        for p in average.model.parameters():
            p.data.add_(torch.randn_like(p))
        average.model(torch.randn(5, 3))
        average.after_step()
        average.after_epoch(float(average.number + 1))
    return average.model


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(params=["ema", "swa"])
def average(request) -> Averaged:
    model = tied()
    return Ema(model, 0.9) if request.param == "ema" else Swa(model, "0st", Clock(1, 9))


def test_swapping_restores_bit_for_bit(average):
    model = moved(average)
    trained, averaged = copy.deepcopy(model.state_dict()), copy.deepcopy(average.weights())
    objects = [*map(id, [*model.parameters(), *model.buffers()])]
    assert not same(trained, averaged)
    with average.applied(lambda: None):
        assert same(model.state_dict(), averaged)
        assert same(average.weights(), averaged)
        assert same(average.state_dict()["trained"], trained)
    assert same(model.state_dict(), trained)
    with pytest.raises(Interrupted), average.applied(lambda: None):
        raise Interrupted(15)
    assert same(model.state_dict(), trained)
    assert same(average.weights(), averaged)
    average.settle()
    assert same(model.state_dict(), averaged)
    assert [*map(id, [*model.parameters(), *model.buffers()])] == objects, "the optimizer's own"


def test_tied_weights_stay_tied_and_are_averaged_once(average):
    model = moved(average)
    weights = average.weights()
    assert torch.equal(weights["0.weight"], weights["2.weight"])
    assert len(average.own) == len(model.state_dict()) - 1
    with average.applied(lambda: None):
        assert model[0].weight.data_ptr() == model[2].weight.data_ptr()
    plain = type(average)(nn.Linear(3, 3), **options_of(average))
    assert len(plain.own) == 2


def options_of(average: Averaged) -> dict:
    if isinstance(average, Ema):
        return {"decay": average.decay}
    return {"start": "0st", "clock": Clock(1, 9)}


def load(average: Average, weights: dict, state: dict) -> None:
    """Loaded like a checkpoint: first the model's weights, then the average's state."""
    average.model.load_state_dict(weights)
    average.load_state_dict(state)


def test_what_was_saved_is_restored(average):
    model = moved(average)
    weights, state = copy.deepcopy(average.weights()), copy.deepcopy(average.state_dict())
    again = type(average)(tied(), **options_of(average))
    moved(again)
    load(again, weights, state)
    assert same(again.model.state_dict(), model.state_dict())
    assert same(again.weights(), weights)
    for one in (average, again):  # both must continue alike
        torch.manual_seed(1)
        moved(one)
    assert same(again.weights(), average.weights())


def test_another_average_may_be_asked_for_on_the_way(average):
    """resume_allow=[ema,swa]: training continues, and an average starts at the saved weights."""
    model = moved(average)
    weights, state = average.weights(), average.state_dict()
    plain = Average(tied())
    load(plain, weights, state)
    assert same(plain.model.state_dict(), model.state_dict()), "what is trained, not the average"
    begun = type(average)(tied(), **options_of(average))
    load(begun, plain.weights(), plain.state_dict())
    assert same(begun.weights(), model.state_dict())
    assert begun.number == 0
    mean = Swa(tied(), "0st", Clock(1, 9))
    load(mean, weights, {key: state[key] for key in ("trained", "number")})
    assert mean.number == 0, "the updates in a moving average are no number of epochs"


def test_none_is_the_model():
    model = tied()
    average = build_average(model, None, None, CLOCK)
    with average.applied(never):
        assert same(average.weights(), model.state_dict())
    average.settle()
    assert average.state_dict() == {}


# Statistics


def test_cumulative_statistics_by_hand():
    """Means over three batches; a frozen layer keeps its statistics, and modes are restored."""
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.5), nn.BatchNorm1d(1))
    model[2].eval()
    model[0].running_mean.fill_(9)
    model[2].running_mean.fill_(7)
    with cumulative_statistics(model):
        for x in (1.0, 2.0, 6.0):
            model(torch.tensor([[x - 1], [x + 1]]))
    assert model[0].running_mean.item() == pytest.approx(3)
    assert model[0].running_var.item() == pytest.approx(2)
    assert model[0].momentum == model[2].momentum == 0.1
    assert model[2].running_mean.item() == 7
    assert [module.training for module in model] == [True, True, False]


def by_torch(fit: Fit, weights: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    """Return weights with BatchNorm statistics estimated by torch's update_bn."""
    model = copy.deepcopy(fit.model)
    model.load_state_dict(weights)
    train, forward = fit.data.train, fit.step.forward
    images = forward.standardise(forward.unit(train.images.read(train.ids.tolist())))
    update_bn(images.split(size), model)
    return model.state_dict()


@pytest.mark.parametrize("val", [0.4, 0.0], ids=["val", "no val"])
def test_statistics_of_the_mean_are_estimated_anew(tmp_path, val):
    """Even without validation, the weights in the checkpoint are the ones tested."""
    settings = (*UNET, "eval_batch_size=16", "swa=1ep", "epochs=3", "checkpoint.every=1ep")
    fit = fitted(tmp_path / "run", *settings, f"dataset.val_fraction={val}", *SAVED[1:])
    weights = fit.step.average.weights()
    assert fit.step.average.state_dict()["number"] == 3
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints", pytest.fail)
    assert same(saved.model, weights)
    expected = by_torch(fit, weights, 16)
    assert any("running_var" in name for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-6, msg=name)
    own = fit.model.state_dict()
    assert not torch.allclose(own["last.weight"], weights["last.weight"], atol=1e-4)
    name = "lowest.1.running_mean"
    assert not torch.allclose(own[name], weights[name], atol=1e-3), "those of the last weights"


def test_a_frozen_batch_norm_keeps_its_statistics(tmp_path):
    source = tmp_path / "source"
    assert train(source, *UNET, *SAVED, "epochs=1") == 0
    saved = checkpoint.latest(source / "checkpoints", pytest.fail)
    frozen = (f"finetune.source={source}", "finetune.freeze=backbone", "swa=0ep")
    fit = fitted(tmp_path / "run", *UNET, *SAVED, *frozen)
    weights = fit.step.average.weights()
    for name, value in saved.model.items():
        assert torch.equal(weights[name], value) is not name.startswith("last."), name


# In a run


def mean_of_ends(folder, *overrides) -> dict[str, Tensor]:
    """Equals the mean over epochs of the weights in a plain run's checkpoints."""
    fitted(folder, *overrides, "checkpoint.keep=9")
    steps = checkpoint.steps(folder / "checkpoints")
    models = [
        checkpoint.load(checkpoint.step_folder(folder / "checkpoints", s)).model for s in steps
    ]
    return {name: torch.stack([m[name] for m in models]).mean(0) for name in models[0]}


def test_swa_of_a_run_is_the_mean_of_its_checkpoints(tmp_path):
    fit = fitted(tmp_path / "swa", "swa=1ep", "epochs=3")
    expected = mean_of_ends(tmp_path / "plain", "epochs=3")
    for name, value in fit.step.average.weights().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("average", ["ema=0.8", "swa=1ep"])
def test_the_checkpoint_holds_the_average_and_the_test_takes_it(tmp_path, average):
    folder = tmp_path / "run"
    settings = ("epochs=3", "dataset.val_fraction=0.3", average)
    assert train(folder, *settings) == 0
    result = read_json(folder / "result.json")
    saved = checkpoint.load(checkpoint.step_folder(folder / "checkpoints", result["best_step"]))
    file = safetensors.torch.load_file(saved.path / "model.safetensors")
    assert not same(file, saved.state["average"]["trained"])
    run = make_run(tmp_path / "again", "model=mlp", "device=cpu", *settings)
    losses = []
    for weights in (file, saved.state["average"]["trained"]):
        run.model.load_state_dict(weights)
        feed = run.loader.open(run.data.test, run.device)
        losses.append(run.evaluator(feed, run.data.test).metrics["loss"])
    assert result["test"]["loss"] == pytest.approx(losses[0])
    assert result["test"]["loss"] != pytest.approx(losses[1], rel=1e-4)


VARIANTS = {  # with polls to stop at; an epoch has 4 steps and 2 validation batches
    "ema": (("ema=0.9", "accumulate=2", "mining=ohem"), (1, 4)),
    "swa": (("swa=1ep", "model.dropout=0.3"), (1, 4, 10, 12)),
    "sam": (("sam=0.05", "ema=0.5", "model.dropout=0.3"), (0, 5)),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_anywhere_and_resumed_is_identical(tmp_path, variant):
    """In steps, in the estimation of statistics (poll 10 of swa), and in validation."""
    overrides, stops = VARIANTS[variant]
    overrides = (*UNET, *SAVED, "eval_batch_size=16", *overrides)
    whole = fitted(tmp_path / "whole", *overrides)
    ended = []
    for after in stops:
        folder = tmp_path / f"stop-{after}"
        with pytest.raises(Interrupted):
            fitted(folder, *overrides, stop_after=after)
        saved = checkpoint.latest(folder / "checkpoints", pytest.fail)
        ended.append(saved.state["progress"]["position"] == 4)
        assert digest(fitted(folder, *overrides)) == digest(whole), f"stopped at poll {after}"
    assert ended.count(True) >= 1, "a stop after an epoch's last step, in what follows it"
    assert ended.count(False) >= 1, "and one before"


@pytest.mark.parametrize("average", ["ema=0.9", "swa=0ep"])
def test_a_bad_step_is_not_in_the_average(tmp_path, average):
    run = make_run(tmp_path, "model=mlp", "device=cpu", "nonfinite=skip", average)
    step = run.assemble_step(Clock(1, 10)).step
    feed = run.loader.open(run.data.train, run.device)
    batches = feed.batches(run.planner.plan(0))
    step(next(batches), StepId(0, 0, 0), 0)
    before, number = copy.deepcopy(step.average.weights()), step.average.number
    assert number == (1 if average == "ema=0.9" else 0)
    batch = next(batches)
    bad = batch.with_images(batch.images.float().index_fill(0, torch.tensor(0), math.nan))
    step(bad, StepId(0, 0, 1), 0)
    assert (step.average.number, step.guard.in_a_row) == (number, 1)
    assert same(step.average.weights(), before)


def test_a_start_after_the_end_is_exit_code_2(tmp_path, capsys):
    assert train(tmp_path / "run", "swa=9ep") == 2
    assert capsys.readouterr().err.startswith("swa=9ep is 369 steps, but the run has 82 steps")
