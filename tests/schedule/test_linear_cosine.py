"""Linear cosine decay."""

import math

import pytest

from trainer.schedule.linear_cosine import LinearCosine


def test_by_hand(follow):
    """S = 20, n = ½: at 10 it is lr[½ · ½(1 + cos π/2) + β], at 20 lr·β."""
    got = follow(LinearCosine(decay_steps="20st", beta=0.25))
    assert [got[t] for t in (0, 10, 20, 59)] == pytest.approx([0.5, 0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("periods", "alpha", "beta"), [(0.5, 0.0, 0.001), (2.0, 0.1, 0.0), (0.75, 0.0, 0.1)]
)
def test_against_the_formula_at_every_step(follow, periods, alpha, beta):
    schedule = LinearCosine(decay_steps="6ep", num_periods=periods, alpha=alpha, beta=beta)
    for t, lr in enumerate(follow(schedule)):
        s = min(t, 30)
        cosine = (1 + math.cos(2 * math.pi * periods * s / 30)) / 2
        assert lr == pytest.approx(0.4 * ((alpha + (30 - s) / 30) * cosine + beta)), t


def test_the_decay_is_not_linear(follow):
    got = follow(LinearCosine(beta=0.0))
    assert got[10] == pytest.approx(
        0.4 * 0.75 * 0.5 * (1 + math.sqrt(0.5))
    )  # a linear decay gives 0.3
    assert got[20] == pytest.approx(0.1)  # a linear decay gives 0.2


def test_a_decay_longer_than_the_run_is_refused(follow):
    with pytest.raises(
        ValueError, match=r"schedule\.decay_steps=50st is 50 steps, .* has 40 steps"
    ):
        follow(LinearCosine(decay_steps="50st"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("decay_steps", "10"), ("num_periods", -1.0), ("alpha", -0.1), ("beta", -0.1)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        LinearCosine(**{setting: value})
