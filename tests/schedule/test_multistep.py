"""Decay by a factor at given times."""

import pytest
from torch.optim.lr_scheduler import MultiStepLR

from trainer.schedule.multistep import Multistep


def test_by_hand(follow):
    got = follow(Multistep(milestones=["2ep", "0.5run"], gamma=0.5), base=0.8)
    assert [got[t] for t in (0, 9, 10, 19, 20, 59)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]


def test_equals_torch_at_every_step(follow, follow_torch):
    expected = follow_torch(MultiStepLR, 60, milestones=[7, 7, 30], gamma=0.3)
    got = follow(Multistep(milestones=["30st", "7st", "7st"], gamma=0.3))
    assert got == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("share", "step"), [("0.175run", 7), ("0.225run", 9), ("0.575run", 23)])
def test_a_fraction_of_the_run_is_converted_to_the_exact_step(follow, share, step):
    """0.575 · 40 is 22.999999999999996 in floating point; others are rounded up."""
    got = follow(Multistep(milestones=[share], gamma=0.5))
    assert got.index(0.2) == step


@pytest.mark.parametrize("milestone", ["40st", "8ep", "1run", "50ep"])
def test_a_milestone_at_or_past_the_end_of_the_run_is_refused(follow, milestone):
    with pytest.raises(
        ValueError, match=rf"schedule\.milestones={milestone} is .* run has 40 steps"
    ):
        follow(Multistep(milestones=["1ep", milestone]))
    follow(Multistep(milestones=["39st"]))


def test_without_milestones_it_is_constant(follow):
    assert follow(Multistep(milestones=[])) == [0.4] * 60


@pytest.mark.parametrize(
    ("setting", "value"), [("milestones", ["1ep", "soon"]), ("milestones", ["0ep"]), ("gamma", 0.0)]
)
def test_bad_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"schedule.{setting}"):
        Multistep(**{"milestones": [], setting: value})
