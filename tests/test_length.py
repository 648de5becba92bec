"""Lengths in epochs, steps and shares of the run."""

import pytest

from trainer.length import Clock, Every, parse

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
def test_parse_refuses_what_is_no_length_and_names_the_setting(text: str) -> None:
    with pytest.raises(ValueError, match=r"schedule\.decay_steps must be a length") as caught:
        parse(text, "schedule.decay_steps")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "steps"), [("2ep", 80), ("7st", 7), ("0.25run", 100), ("1.5ep", 60), ("0.3st", 0.3)]
)
def test_clock_turns_lengths_into_steps(text: str, steps: float) -> None:
    assert CLOCK.steps(text) == pytest.approx(steps)


def test_what_remains_of_a_clock() -> None:
    rest = CLOCK.after(100)
    assert rest.steps("1run") == 300
    assert rest.steps("1ep") == 40
    assert CLOCK.after(500).total == 0


def test_every_so_many_steps() -> None:
    every = Every("100st", CLOCK, "log.every")
    assert [step for step in range(1, 401) if every.after_step(step)] == [100, 200, 300, 400]
    assert not any(every.after_epoch(epoch) for epoch in range(1, 11))


def test_every_so_many_epochs_counts_epochs_and_not_steps() -> None:
    """A miner that leaves an epoch fewer steps moves no checkpoint into the next."""
    every = Every("2ep", CLOCK, "checkpoint.every")
    assert [epoch for epoch in range(1, 8) if every.after_epoch(epoch)] == [2, 4, 6]
    assert not any(every.after_step(step) for step in range(1, 401))


@pytest.mark.parametrize(("text", "first"), [("0.5ep", 20), ("0.1run", 40), ("0.2st", 1)])
def test_broken_epochs_and_shares_are_counted_in_steps(text: str, first: int) -> None:
    every = Every(text, CLOCK, "log.every")
    assert next(step for step in range(1, 401) if every.after_step(step)) == first
    assert not every.after_epoch(1)


def test_every_refuses_zero() -> None:
    with pytest.raises(ValueError, match=r"log\.every must be above 0, got 0ep"):
        Every("0ep", CLOCK, "log.every")
