"""Linear ascent, constant rate, linear descent."""

import pytest

from trainer.core.duration import Clock
from trainer.schedule.trapezoid import Trapezoid
from trainer.training.learning_rate import LearningRate
from trainer.warmup.gradual import Gradual


def test_by_hand_at_every_step(follow):
    """From 0.1 up in 10 steps, 0.4 until step 32, down to 0.2 at step 40, then constant."""
    got = follow(Trapezoid(warmup_steps="2ep", decay_steps="0.2run", start_factor=0.25, end_lr=0.2))
    expected = [0.1 + 0.03 * t for t in range(10)] + [0.4] * 22
    expected += [0.4 - 0.025 * i for i in range(8)] + [0.2] * 20
    assert got == pytest.approx(expected)


def test_without_ascent_and_descent_it_is_constant(follow):
    got = follow(Trapezoid(warmup_steps="0st", decay_steps="0st"))
    assert got[:41] == [0.4] * 41
    assert got[41] == 0


def test_the_constant_phase_may_be_empty(follow):
    got = follow(Trapezoid(warmup_steps="10st", decay_steps="30st", start_factor=0.0))
    assert [got[t] for t in (0, 5, 10, 25, 40)] == pytest.approx([0, 0.2, 0.4, 0.2, 0])


def test_after_a_warmup_the_descent_ends_with_the_run():
    schedule = Trapezoid(warmup_steps="0st", decay_steps="10st")
    rate = LearningRate(schedule, Gradual(steps="1ep"), 0.4, Clock(5, 40))
    assert [rate.lr(t) for t in (5, 30, 35, 40)] == pytest.approx([0.4, 0.4, 0.2, 0])


@pytest.mark.parametrize(
    ("warmup", "decay", "named"),
    [
        ("41st", "0st", r"schedule\.warmup_steps=41st is 41 steps"),
        ("0st", "9ep", r"schedule\.decay_steps=9ep is 45 steps"),
        ("30st", "4ep", r"schedule\.warmup_steps=30st with schedule\.decay_steps=4ep is 50 steps"),
    ],
)
def test_phases_longer_than_the_run_are_refused(follow, warmup, decay, named):
    with pytest.raises(ValueError, match=rf"{named}, but the run has 40 steps"):
        follow(Trapezoid(warmup_steps=warmup, decay_steps=decay))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("warmup_steps", "5"), ("decay_steps", "soon"), ("start_factor", 1.1), ("end_lr", -0.1)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Trapezoid(**{setting: value})
