"""An arbitrary factor of the step and the epoch."""

import pytest
import torch
from torch import nn

from trainer.core.duration import Clock
from trainer.core.errors import ConfigError
from trainer.schedule.adjust import Adjust
from trainer.training.learning_rate import LearningRate
from trainer.warmup.gradual import Gradual
from trainer.warmup.none import NoWarmup

MODULE = """
def halve(step, epoch):
    return 0.5**epoch

def both(step, epoch):
    return step + 100 * epoch
"""


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "adjust_by.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def test_by_hand(follow):
    got = follow(Adjust(function="adjust_by.halve"), base=0.8)
    assert [got[0], got[4], got[5], got[12], got[39]] == [0.8, 0.8, 0.4, 0.2, 0.8 / 2**7]


def test_the_default_is_a_tenth_every_30_epochs(follow):
    got = follow(Adjust(function="trainer.schedule.adjust.tenth"), 61, 1.0, Clock(1, 90))
    assert [got[29], got[30], got[60]] == pytest.approx([1, 0.1, 0.01])


def test_a_factor_applies_from_the_first_step_of_its_epoch(follow):
    """If it applied an epoch late, the rate would be 0.8 up to step 9."""
    got = follow(Adjust(function="adjust_by.both"), base=1.0)
    assert got == [t + 100 * (t // 5) for t in range(60)]


def test_fractional_steps_are_rounded_down():
    schedule = Adjust(function="adjust_by.both")
    schedule.bind(Clock(5, 40))
    assert schedule.lr(9.5, 1.0) == 109
    assert schedule.lr(10 - 1e-12, 1.0) == 210  # 10 up to rounding


def test_parameter_groups_keep_their_ratio():
    """One value for all groups would give the head the rate of the body."""
    body, head = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [body]}, {"params": [head], "lr": 1.0}], lr=0.1)
    rate = LearningRate(Adjust(function="adjust_by.halve"), NoWarmup(), 0.1, Clock(5, 40))
    for t in range(40):
        rate.apply(optimizer, t)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.1 / 2 ** (t // 5), 1.0 / 2 ** (t // 5)])


def test_steps_are_counted_from_the_end_of_the_warmup():
    rate = LearningRate(Adjust(function="adjust_by.halve"), Gradual(steps="3st"), 1.0, Clock(5, 40))
    assert [rate.lr(t) for t in (3, 7, 8)] == [1, 1, 0.5]


def test_a_function_with_other_parameters_is_refused():
    with pytest.raises(ConfigError, match=r"schedule\.function=math\.sqrt fails when called with"):
        Adjust(function="math.sqrt").prepare()
