"""Linear cosine decay with noise."""

import math

import numpy as np
import pytest

from trainer.core.seed import Purpose, generator
from trainer.schedule.linear_cosine import LinearCosine
from trainer.schedule.noisy_linear_cosine import NoisyLinearCosine


def test_against_the_formula_at_every_step(follow):
    schedule = NoisyLinearCosine(3, decay_steps="6ep", alpha=0.1, beta=0.01, num_periods=0.75)
    clamped = 0
    for t, lr in enumerate(follow(schedule)):
        s = min(t, 30)
        noise = generator(3, Purpose.SCHEDULE, s).normal(0, math.sqrt((1 + s) ** -0.55))
        cosine = (1 + math.cos(2 * math.pi * 0.75 * s / 30)) / 2
        expected = 0.4 * ((0.1 + (30 - s) / 30 + noise) * cosine + 0.01)
        assert lr == pytest.approx(max(expected, 0)), t
        clamped += expected < 0
    assert clamped


def test_the_noise_has_the_variance_of_the_formula():
    """4000 seeds at t = 99: the variance is 100^−0.55 = 0.079; 0.006 if that were the deviation."""
    noise = [NoisyLinearCosine(seed).noise(99) for seed in range(4000)]
    assert np.var(noise) == pytest.approx(100**-0.55, rel=0.1)
    assert np.mean(noise) == pytest.approx(0, abs=0.02)


def test_the_variance_and_its_decay_are_settings():
    one, other = NoisyLinearCosine(0), NoisyLinearCosine(0, initial_variance=4.0, variance_decay=0)
    assert other.noise(7) / one.noise(7) == pytest.approx(2 * 8**0.275)


def test_the_rate_is_never_negative(follow):
    """Without clamping, about half of the rates near the end would be negative."""
    for seed in range(5):
        got = follow(NoisyLinearCosine(seed, initial_variance=100.0))
        assert min(got) == 0
        assert max(got) > 0.4


def test_the_noise_depends_only_on_seed_and_step(follow):
    """The same for any order and number of evaluations."""
    every = follow(NoisyLinearCosine(1))
    resumed = NoisyLinearCosine(1)
    follow(resumed, 0)
    assert [resumed.lr(t, 0.4) for t in (25, 3, 25)] == [every[25], every[3], every[25]]
    assert follow(NoisyLinearCosine(2)) != every


def test_without_variance_it_is_linear_cosine(follow):
    assert follow(NoisyLinearCosine(0, initial_variance=0.0)) == follow(LinearCosine())


def test_the_rate_is_constant_after_the_end(follow):
    """With n = 1 the cosine ends at its maximum, so the noise is visible at the end."""
    got = follow(NoisyLinearCosine(1, decay_steps="20st", num_periods=1.0, alpha=1.0))
    assert got[20:] == [got[20]] * 40
    assert got[20] != got[19]


def test_a_decay_longer_than_the_run_is_refused(follow):
    with pytest.raises(
        ValueError, match=r"schedule\.decay_steps=50st is 50 steps, .* has 40 steps"
    ):
        follow(NoisyLinearCosine(0, decay_steps="50st"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("decay_steps", "10"), ("initial_variance", -1.0), ("variance_decay", -0.1), ("beta", -0.1)],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        NoisyLinearCosine(0, **{setting: value})
