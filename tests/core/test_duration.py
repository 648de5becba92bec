"""Durations in epochs, steps and fractions of the run."""

import pytest

from trainer.core.duration import Clock, Every, Until, parse, ratio, reached, whole

CLOCK = Clock(steps_per_epoch=40, total=400)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("5ep", 5, "ep"),
        ("400st", 400, "st"),
        ("0.1run", 0.1, "run"),
        (" .5 ep ", 0.5, "ep"),
        ("1e3st", 1000, "st"),
        ("2e-1run", 0.2, "run"),
        ("0ep", 0, "ep"),
    ],
)
def test_parse(text: str, value: float, unit: str) -> None:
    assert parse(text) == (value, unit)


@pytest.mark.parametrize("text", ["5", "ep", "-1ep", "5 epochs", "5eps", "1e999st", "", "5ep5st"])
def test_parse_names_the_setting_and_the_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"^schedule\.decay_steps .* 5ep") as caught:
        parse(text, "schedule.decay_steps")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "steps"), [("2ep", 80), ("7st", 7), ("0.25run", 100), ("1.5ep", 60), ("0.3st", 0.3)]
)
def test_clock_converts_durations_to_steps(text: str, steps: float) -> None:
    assert CLOCK.steps(text) == pytest.approx(steps)


def test_the_clock_of_the_rest_of_a_run() -> None:
    rest = CLOCK.after(100)
    assert rest.steps("1run") == 300
    assert rest.steps("1ep") == 40
    assert CLOCK.after(500).total == 0


def test_every_counts_steps() -> None:
    every = Every("100st", CLOCK, "log.every")
    assert [step for step in range(1, 401) if every.after_step(step)] == [100, 200, 300, 400]
    assert not any(every.after_epoch(epoch) for epoch in range(1, 11))


def test_every_counts_whole_epochs_as_epochs() -> None:
    """A miner that leaves an epoch fewer steps does not delay a checkpoint to the next."""
    every = Every("2ep", CLOCK, "checkpoint.every")
    assert [epoch for epoch in range(1, 8) if every.after_epoch(epoch)] == [2, 4, 6]
    assert not any(every.after_step(step) for step in range(1, 401))


@pytest.mark.parametrize(("text", "first"), [("0.5ep", 20), ("0.1run", 40), ("0.2st", 1)])
def test_fractions_of_epochs_and_runs_are_counted_in_steps(text: str, first: int) -> None:
    every = Every(text, CLOCK, "log.every")
    assert next(step for step in range(1, 401) if every.after_step(step)) == first
    assert not every.after_epoch(1)


def test_every_refuses_zero() -> None:
    with pytest.raises(ValueError, match=r"log\.every must be above 0, got 0ep"):
        Every("0ep", CLOCK, "log.every")


@pytest.mark.parametrize(
    ("text", "epoch", "step", "over"),
    [
        ("2ep", 1, 79, False),
        ("2ep", 2, 80, True),
        ("2ep", 2, 31, True),  # a miner left the epochs fewer steps
        ("2ep", 1, 90, False),  # a sampler gave them more
        ("0.7run", 6, 279, False),  # 0.7 · 400 is 280.00000000000006 in floating point
        ("0.7run", 7, 280, True),
        ("100st", 1, 99, False),
        ("100st", 1, 100, True),
        ("0.5ep", 0, 19, False),
        ("0.5ep", 0, 20, True),
        ("0ep", 0, 0, True),
    ],
)
def test_until_a_duration_has_passed(text: str, epoch: int, step: int, over: bool) -> None:
    assert Until(text, CLOCK).passed(epoch, step) is over


def test_require_that_steps_fit_into_the_run() -> None:
    """Rounding makes 0.07 and 0.93 of a run no longer than the run."""
    CLOCK.require("schedule.decay_steps=1run", 400)
    CLOCK.require("schedule.decay_steps=1run", 400 * (0.07 + 0.93) + 1e-9)
    CLOCK.require("warmup.steps=399st", 399, inside=True)
    with pytest.raises(ValueError, match=r"^a=9ep is 401 steps, but the run has 400 steps; "):
        CLOCK.require("a=9ep", 401)
    with pytest.raises(ValueError, match=r"^a=1run is 400 steps, but the run has 400 steps; "):
        CLOCK.require("a=1run", 400, inside=True)
    with pytest.raises(ValueError, match="has 400 steps, 300 of them after the warmup; shorten"):
        CLOCK.after(100).require("a=8ep", 320)


def test_rounding_loses_no_step() -> None:
    assert [whole(7 / (0.07 * 100) * n) for n in (1, 2)] == [1, 2]
    assert [whole(x) for x in (0.0, 0.5, 0.999999, 1.0, 2.5)] == [0, 0, 0, 1, 2]
    assert reached(7, 0.07 * 100)
    assert not reached(6.999, 7)
    assert reached(0, 0)
    assert not reached(1e9, float("inf"))


def test_ratio_to_a_duration_of_zero() -> None:
    assert [ratio(t, 4) for t in (0, 1, 6)] == [0, 0.25, 1.5]
    assert [ratio(t, 0) for t in (0, 0.5, 6)] == [0, 1, 1]
