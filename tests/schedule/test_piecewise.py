"""A piecewise constant learning rate."""

import pytest

from trainer.schedule.piecewise import Piecewise

VALUES = [0.3, 0.2, 0.1]


def test_by_hand_at_every_step(follow):
    """Values are rates regardless of the optimizer's; at a boundary the next value applies."""
    got = follow(Piecewise(boundaries=["2ep", "30st"], values=VALUES), base=7.0)
    assert got == [0.3] * 10 + [0.2] * 20 + [0.1] * 30


def test_a_single_value_needs_no_boundary(follow):
    assert follow(Piecewise(boundaries=[], values=[0.5])) == [0.5] * 60


@pytest.mark.parametrize("boundary", ["40st", "8ep", "1run", "41st"])
def test_a_boundary_at_or_past_the_end_of_the_run_is_refused(follow, boundary):
    with pytest.raises(
        ValueError, match=rf"schedule\.boundaries={boundary} is .* run has 40 steps"
    ):
        follow(Piecewise(boundaries=["1ep", boundary], values=VALUES))


@pytest.mark.parametrize("boundaries", [["3ep", "2ep"], ["2ep", "10st"], ["0.5run", "1ep"]])
def test_boundaries_that_do_not_ascend_are_refused(follow, boundaries):
    with pytest.raises(ValueError, match=r"schedule\.boundaries must ascend, got \["):
        follow(Piecewise(boundaries=boundaries, values=VALUES))


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.2], [0.1] * 4])
def test_a_wrong_number_of_values_is_refused(values):
    with pytest.raises(ValueError, match=r"schedule\.values must be 3, one more than"):
        Piecewise(boundaries=["1ep", "2ep"], values=values)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("boundaries", ["soon", "1ep"]), ("boundaries", ["0ep", "1ep"]), ("values", [0.1, -0.1, 0])],
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Piecewise(**{"boundaries": ["1ep", "2ep"], "values": VALUES, setting: value})
