"""Warmup at a low rate until the training error is low enough."""

import math

import pytest
from support import digest, events, fitted, read_json, train

from trainer.core.duration import Clock
from trainer.core.errors import Interrupted
from trainer.schedule.cosine_decay import CosineDecay
from trainer.training.learning_rate import LearningRate
from trainer.warmup.constant import Constant

CLOCK = Clock(steps_per_epoch=8, total=80)
METRIC = {"train/loss": 2.0, "train/accuracy": 0.0}


def told(warmup: Constant, accuracy: float, t: float) -> None:
    warmup.observe(METRIC | {"train/accuracy": accuracy}, t)


def test_by_hand():
    """0.01 until the error drops below 0.8 at step 16, then the cosine over the remaining 64."""
    rate = LearningRate(CosineDecay(), Constant(), 0.1, CLOCK)
    for t, accuracy in ((8, 0.1), (12, 0.2)):
        rate.observe_training({"train/accuracy": accuracy}, t)
        assert rate.lr(t) == 0.01
    rate.observe_training({"train/accuracy": 0.21}, 16)
    assert [rate.lr(t) for t in (15, 16, 48, 80)] == pytest.approx([0.01, 0.1, 0.05, 0])


def test_the_error_must_be_below_the_bound():
    warmup = Constant(error=0.75)
    warmup.bind(CLOCK)
    told(warmup, 0.25, 8)
    assert math.isinf(warmup.duration)
    told(warmup, 0.26, 9)
    assert warmup.duration == 9


def test_an_ended_warmup_does_not_restart():
    warmup = Constant()
    warmup.bind(CLOCK)
    for t, accuracy in ((8, 0.9), (16, 0.1), (24, 0.9)):
        told(warmup, accuracy, t)
    assert warmup.duration == 8


@pytest.mark.parametrize(("steps", "length"), [("3st", 3), ("2ep", 16), ("0.1run", 8)])
def test_with_steps_the_error_is_ignored(steps, length):
    rate = LearningRate(CosineDecay(), Constant(lr=0.02, steps=steps), 0.1, CLOCK)
    rate.observe_training({"train/accuracy": 1.0}, 1)
    assert [rate.lr(t) for t in range(length)] == [0.02] * length
    assert rate.lr(length) == 0.1
    assert rate.lr(80) == pytest.approx(0)


def test_the_error_is_checked_at_intervals():
    warmup = Constant(every="3st")
    warmup.bind(CLOCK)
    assert [step for step in range(1, 10) if warmup.observes_after(step)] == [3, 6, 9]
    told(warmup, 0.9, 9)
    assert not warmup.observes_after(12)


def test_with_steps_the_error_is_not_checked():
    warmup = Constant(steps="2ep", every="1st")
    warmup.bind(CLOCK)
    assert not warmup.observes_after(1)


def test_a_task_without_accuracy_needs_steps():
    warmup = Constant()
    warmup.bind(CLOCK)
    with pytest.raises(ValueError, match=r"warmup\.error .*train/loss.*warmup\.steps"):
        warmup.observe({"train/loss": 1.0}, 8)


@pytest.mark.parametrize("steps", ["80st", "10ep", "1run", "99ep"])
def test_a_warmup_as_long_as_the_run_is_refused(steps):
    with pytest.raises(ValueError, match=rf"warmup\.steps={steps} is .* but the run has 80 steps"):
        LearningRate(CosineDecay(), Constant(steps=steps), 0.1, CLOCK)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lr", 0.0),
        ("error", 0.0),
        ("error", 1.1),
        ("steps", "0ep"),
        ("steps", "5"),
        ("every", "0st"),
    ],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"warmup.{setting}"):
        Constant(**{setting: value})


RUN = ("warmup=constant", "warmup.lr=2e-3", "warmup.every=2st", "warmup.error=0.8")
RUN += ("schedule=cosine_decay", "optimizer.lr=4e-3", "batch_size=32", "log.every=1st")


def rates_of(folder) -> list[float]:
    return [line["lr"] for line in events(folder) if line["split"] == "train"]


def test_in_a_run_the_schedule_starts_once_the_error_is_low_enough(tmp_path):
    """After W warmup steps, the rate is that of the cosine at t − W over the remaining steps."""
    fit = fitted(tmp_path, *RUN)
    length = fit.learning_rate.warmup.duration
    assert length in range(2, 14, 2)  # within the first epoch of 14 steps
    rates, total = rates_of(tmp_path), fit.clock.total
    for t, lr in enumerate(rates):
        done = (t - length) / (total - length)
        cosine = 4e-3 * 0.5 * (1 + math.cos(math.pi * done))
        assert lr == pytest.approx(2e-3 if t < length else cosine), t


def test_logging_does_not_change_the_end_of_the_warmup(tmp_path):
    lengths = set()
    for every in ("1st", "7st", "1ep"):
        folder = tmp_path / every
        lengths.add(fitted(folder, *RUN, f"log.every={every}").learning_rate.warmup.duration)
    assert len(lengths) == 1


def test_a_stopped_run_resumes_identically(tmp_path):
    whole = fitted(tmp_path / "whole", *RUN)
    expected, rates = digest(whole), rates_of(tmp_path / "whole")
    assert whole.learning_rate.warmup.duration < 14  # the runs stop before and after its end
    for after in (1, 9, 16, 25):
        folder = tmp_path / f"stop-{after}"
        with pytest.raises(Interrupted):
            fitted(folder, *RUN, stop_after=after)
        resumed = fitted(folder, *RUN)
        assert digest(resumed) == expected, f"stopped at poll {after}"
        assert rates_of(folder) == rates


def test_a_warmup_longer_than_the_run_is_reported_in_one_line(tmp_path, capsys):
    overrides = ["warmup=constant", "warmup.steps=3ep", "epochs=2"]
    assert train(tmp_path / "run", *overrides) == 2
    error = capsys.readouterr().err
    assert error.startswith("warmup.steps=3ep is 123 steps, but the run has 82 steps")
    assert error.count("\n") == 1
    assert read_json(tmp_path / "run" / "status.json")["state"] == "failed"
