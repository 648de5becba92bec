"""A constant learning rate."""

from trainer.core.duration import Clock
from trainer.schedule.constant import Constant


def test_the_rate_is_constant() -> None:
    schedule = Constant()
    schedule.bind(Clock(10, 30))
    assert [schedule.lr(t, 0.3) for t in (0, 0.5, 29, 30, 1000)] == [0.3] * 5
    assert schedule.state_dict() == {}
