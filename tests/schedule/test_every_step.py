"""Properties that all schedules in conf/ share; new options are included automatically."""

import math
from typing import Any

import pytest
from support import node_of, options

from trainer.config.build import build
from trainer.core.duration import Clock
from trainer.schedule import Schedule
from trainer.training.learning_rate import LearningRate
from trainer.warmup.constant import Constant
from trainer.warmup.gradual import Gradual
from trainer.warmup.none import NoWarmup

CLOCK = Clock(steps_per_epoch=5, total=40)
SCHEDULES = options("schedule")
HELD = ("cosine", "cosine_decay", "linear_cosine", "noisy_linear_cosine", "one_cycle")
HELD += ("polynomial", "trapezoid", "multistep", "piecewise", "constant")


def default(name: str, **settings: Any) -> Schedule:
    """The schedule with its default settings."""
    schedule = build(node_of("schedule", name) | settings, "schedule", Schedule, seed=0)
    schedule.prepare()
    return schedule


def metrics_of(epoch: int) -> dict[str, float]:
    """Validation metrics that stop improving after three epochs."""
    return {"val/loss": 1 / min(epoch, 3), "train/accuracy": 0.05 * epoch}


def run(rate: LearningRate, first: int = 0, last: int = 40) -> list[float]:
    """The rates at the steps of a run, with metrics observed at the end of each epoch."""
    rates = []
    for t in range(first, last):
        rates.append(rate.lr(t))
        if (t + 1) % 5 == 0:
            rate.observe(metrics_of((t + 1) // 5), t + 1)
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [NoWarmup, Gradual, lambda: Constant(error=0.9)])
def test_the_defaults_work_with_every_warmup(name, warmup):
    """Rates are finite and at least 0 at each step and past the end."""
    rates = run(LearningRate(default(name), warmup(), 1e-3, CLOCK), last=90)
    assert all(math.isfinite(lr) and 0 <= lr <= 0.01 for lr in rates)


@pytest.mark.parametrize("name", SCHEDULES)
def test_time_is_counted_from_the_end_of_the_warmup(name):
    """The rates after the warmup are those of a run without it that is shorter by its steps."""
    alone = run(LearningRate(default(name), NoWarmup(), 1e-3, Clock(5, 35)), last=35)
    after = run(LearningRate(default(name), Gradual(steps="1ep"), 1e-3, CLOCK))
    assert after[5:] == alone


@pytest.mark.parametrize("name", SCHEDULES)
def test_time_is_counted_from_the_end_of_a_warmup_of_unknown_duration(name):
    """The warmup ends after 15 steps, when the accuracy 0.15 exceeds 1 − 0.86."""
    settings = {"patience": 1} if name == "plateau" else {}
    alone = run(LearningRate(default(name, **settings), NoWarmup(), 1e-3, Clock(5, 25)), last=25)
    after = run(LearningRate(default(name, **settings), Constant(error=0.86), 1e-3, CLOCK))
    assert after[:15] == [0.01] * 15
    if name != "plateau":  # it observes the metrics of other epochs
        assert after[15:] == alone


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("cut", [0, 7, 15, 20, 33])
def test_a_resumed_schedule_continues_identically(name, cut):
    settings = {"patience": 1} if name == "plateau" else {}

    def rate() -> LearningRate:
        return LearningRate(default(name, **settings), Constant(error=0.86), 1e-3, CLOCK)

    whole, first, second = run(rate()), rate(), rate()
    run(first, last=cut)
    second.load_state_dict(first.state_dict())
    assert run(second, cut) == whole[cut:]


@pytest.mark.parametrize("name", HELD)
def test_the_rate_is_constant_past_the_end(name):
    rate = LearningRate(default(name), NoWarmup(), 1e-3, CLOCK)
    assert [rate.lr(t) for t in (41, 50, 80, 1000)] == [rate.lr(41)] * 4


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_warmup_that_ends_with_the_run_leaves_a_finite_rate(name):
    """The error drops below its bound at the last step of the run."""
    rate = LearningRate(default(name), Constant(error=0.61), 1e-3, CLOCK)
    assert run(rate)[-1] == 0.01
    assert rate.warmup.duration == 40
    assert all(math.isfinite(rate.lr(t)) for t in (40, 41, 50))


LONGER = {
    "cosine_decay": {"decay_steps": "36st"},
    "polynomial": {"decay_steps": "36st"},
    "linear_cosine": {"decay_steps": "36st"},
    "noisy_linear_cosine": {"decay_steps": "36st"},
    "one_cycle": {"total_steps": "36st"},
    "cosine": {"T_max": "36st"},
    "trapezoid": {"warmup_steps": "36st", "decay_steps": "0st"},
    "multistep": {"milestones": ["35st"]},
    "piecewise": {"boundaries": ["35st"], "values": [1, 2]},
}


@pytest.mark.parametrize("name", LONGER)
def test_a_schedule_that_ends_after_the_run_is_refused(name):
    """36 steps fit into 40, but not into the 35 after a warmup of 5."""
    LearningRate(default(name, **LONGER[name]), NoWarmup(), 1e-3, CLOCK)
    setting, value = next(iter(LONGER[name].items()))
    shown = value if isinstance(value, str) else value[0]
    expected = (
        rf"schedule\.{setting}={shown} is 3[56] steps, but the run has 40 steps, "
        "35 of them after the warmup; shorten it"
    )
    with pytest.raises(ValueError, match=expected):
        LearningRate(default(name, **LONGER[name]), Gradual(steps="1ep"), 1e-3, CLOCK)


ENDLESS = {
    "exponential_decay": {"decay_steps": "9ep"},
    "natural_exponential": {"decay_steps": "9ep"},
    "inverse_time": {"decay_steps": "9ep"},
    "step": {"step_size": "9ep"},
    "exponential": {"every": "9ep"},
    "cyclic": {"step_size_up": "9ep"},
    "cosine_restarts": {"T_0": "9ep"},
    "polynomial": {"decay_steps": "9ep", "cycle": True},
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_schedule_without_an_end_is_accepted(name):
    rate = LearningRate(default(name, **ENDLESS[name]), NoWarmup(), 1e-3, CLOCK)
    assert rate.lr(0) == pytest.approx(2.5e-4 if name == "cyclic" else 1e-3)
