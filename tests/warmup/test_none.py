"""No warmup."""

from trainer.core.duration import Clock
from trainer.warmup.none import NoWarmup


def test_it_has_no_length_and_changes_nothing() -> None:
    warmup = NoWarmup()
    warmup.bind(Clock(10, 100))
    assert warmup.length == 0
    assert warmup.lr(0, 0.3) == 0.3
