"""No warmup."""

from trainer.core.duration import Clock
from trainer.warmup.none import NoWarmup


def test_the_warmup_has_no_steps_and_returns_the_target() -> None:
    warmup = NoWarmup()
    warmup.bind(Clock(10, 100))
    assert warmup.duration == 0
    assert warmup.lr(0, 0.3) == 0.3
