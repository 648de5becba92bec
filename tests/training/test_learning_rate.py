"""The learning rate: the warmup, then the schedule, applied to every group."""

import math
import warnings

import pytest
import torch
from torch import nn

from trainer.core.duration import Clock
from trainer.optimizer.shared.groups import base_lr
from trainer.schedule.base import Schedule
from trainer.schedule.constant import Constant
from trainer.schedule.cosine_decay import CosineDecay
from trainer.schedule.piecewise import Piecewise
from trainer.schedule.step import Step
from trainer.training.learning_rate import LearningRate
from trainer.warmup.base import Warmup
from trainer.warmup.gradual import Gradual
from trainer.warmup.none import NoWarmup

CLOCK = Clock(steps_per_epoch=4, total=12)


def rates(schedule: Schedule, warmup: Warmup, base: float, steps: int) -> list[float]:
    rate = LearningRate(schedule, warmup, base, CLOCK)
    return [rate.lr(t) for t in range(steps)]


def test_warmup_then_cosine_by_hand() -> None:
    """Four steps from 0.2 to 0.8, the cosine over the remaining eight, then constant."""
    got = rates(CosineDecay(), Gradual(steps="1ep", start_factor=0.25), 0.8, 16)
    assert got[:5] == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8])
    assert got[8] == pytest.approx(0.4)  # half-way: t − W = 4 of 8
    assert got[6] == pytest.approx(0.4 * (1 + math.sqrt(0.5)))  # cos(π/4)
    assert got[12:] == pytest.approx([0] * 4, abs=1e-12)


def test_warmup_then_cosine_equals_torch_at_every_step() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.8)
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=4),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8),
    ]
    reference = torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])
    expected = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates step(epoch) but calls it itself
        for _ in range(12):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            reference.step()
    got = rates(CosineDecay(), Gradual(steps="1ep", start_factor=0.25), 0.8, 12)
    assert got == pytest.approx(expected, rel=1e-9)


def test_without_a_warmup_the_schedule_begins_at_once() -> None:
    assert rates(Step(step_size="2st", gamma=0.5), NoWarmup(), 8.0, 6) == [8, 8, 4, 4, 2, 2]
    assert rates(Constant(), NoWarmup(), 0.3, 20) == [0.3] * 20


def test_the_schedule_reads_t_minus_w() -> None:
    got = rates(Step(step_size="2st", gamma=0.5), Gradual(steps="3st", start_factor=0.0), 6.0, 8)
    assert got == pytest.approx([0, 2, 4, 6, 6, 3, 3, 1.5])


@pytest.mark.parametrize("steps", ["1run", "3ep", "12st", "50ep"])
def test_a_warmup_as_long_as_the_run_is_refused(steps: str) -> None:
    with pytest.raises(ValueError, match=rf"warmup\.steps={steps} is .* but the run has 12 steps"):
        LearningRate(CosineDecay(), Gradual(steps=steps), 1.2, CLOCK)
    assert rates(CosineDecay(), Gradual(steps="11st", start_factor=0.0), 1.1, 12) == pytest.approx(
        [0.1 * t for t in range(12)]
    )


def test_a_share_of_the_run_ends_at_the_step_that_it_means() -> None:
    """0.07 of 100 steps is 7.000000000000001: step 7 is the schedule's first."""
    rate = LearningRate(
        Step(step_size="1st", gamma=0.5), Gradual(steps="0.07run"), 1.0, Clock(10, 100)
    )
    assert [rate.lr(t) for t in (7, 8, 9)] == [1, 0.5, 0.25]


def test_between_steps() -> None:
    """With a miner that drops examples the clock advances by fractions of a step."""
    rate = LearningRate(CosineDecay(), Gradual(steps="1ep", start_factor=0.0), 1.0, CLOCK)
    assert rate.lr(2.5) == pytest.approx(0.625)
    assert rate.lr(4 + 8 / 3) == pytest.approx(0.75)  # cos(π/3) = ½


def groups() -> torch.optim.Optimizer:
    body, head = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([{"params": [body]}, {"params": [head], "lr": 1.0}], lr=0.1)


def test_apply_keeps_the_ratios_of_the_groups() -> None:
    """With groups of 0.1 and 1.0 and a base of 0.1, the head stays at ten times the body."""
    optimizer = groups()
    rate = LearningRate(CosineDecay(), Gradual(steps="1ep", start_factor=0.5), 0.1, CLOCK)
    for t in range(15):
        returned = rate.apply(optimizer, t)
        body, head = (group["lr"] for group in optimizer.param_groups)
        assert body == returned == pytest.approx(rate.lr(t))
        assert head == pytest.approx(10 * rate.lr(t))
    assert [rate.apply(optimizer, t) for t in (0, 4)] == pytest.approx([0.05, 0.1])


def test_apply_goes_on_with_an_optimizer_that_was_saved() -> None:
    """A saved group has the rate of its step: the ratio must come from the initial rate."""
    first, second = groups(), groups()
    rate = LearningRate(Step(step_size="1st", gamma=0.5), NoWarmup(), 0.1, CLOCK)
    rate.apply(first, 3)
    second.load_state_dict(first.state_dict())
    rate.apply(second, 1)
    assert [group["lr"] for group in second.param_groups] == pytest.approx([0.05, 0.5])


def test_a_new_base_holds_for_an_optimizer_that_was_saved() -> None:
    """Resumed with optimizer.lr doubled: saved initial rates only determine the ratios."""
    first, second = groups(), groups()
    LearningRate(Constant(), NoWarmup(), 0.1, CLOCK).apply(first, 3)
    second.load_state_dict(first.state_dict())
    assert LearningRate(Constant(), NoWarmup(), 0.2, CLOCK).apply(second, 4) == 0.2
    assert [group["lr"] for group in second.param_groups] == pytest.approx([0.2, 2.0])


def test_a_first_group_of_another_rate_is_scaled_too() -> None:
    """The schedule's rate is for `optimizer.lr`, not for whichever group is first."""
    body, head = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    parts = [{"params": [body], "lr": 0.01}, {"params": [head]}]
    optimizer = torch.optim.SGD(parts, lr=0.1)
    rate = LearningRate(
        Piecewise(boundaries=[], values=[0.5]), NoWarmup(), base_lr(optimizer), CLOCK
    )
    assert rate.apply(optimizer, 0) == 0.5
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])


class Noting(Schedule):
    """Records the metric it observes."""

    seen = 0.0
    at = 0.0

    def lr(self, t: float, base: float) -> float:
        return base

    def observe(self, metrics: dict[str, float], t: float) -> None:
        self.seen = metrics["val/loss"]
        self.at = t

    def state_dict(self) -> dict[str, float]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.seen = state["seen"]


class NotingWarmup(Warmup):
    """Records when it observes metrics."""

    told = 0.0
    duration = 3.0

    def lr(self, t: float, target: float) -> float:
        return target

    def observe(self, metrics: dict[str, float], t: float) -> None:
        self.told = t

    def state_dict(self) -> dict[str, float]:
        return {"told": self.told}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.told = state["told"]


def test_both_observe_and_both_are_saved() -> None:
    rate = LearningRate(Noting(), NotingWarmup(), 0.1, CLOCK)
    rate.observe({"val/loss": 2.5}, 8.0)
    assert rate.schedule.at == 5.0  # pyright: ignore
    assert rate.state_dict() == {"schedule": {"seen": 2.5}, "warmup": {"told": 8.0}}
    other = LearningRate(Noting(), NotingWarmup(), 0.1, CLOCK)
    other.load_state_dict(rate.state_dict())
    assert other.state_dict() == rate.state_dict()
