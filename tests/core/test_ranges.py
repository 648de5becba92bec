"""Range checks."""

import pytest

from trainer.core.ranges import within


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        (0, "[0, 1)"),
        (0.999, "[0, 1)"),
        (1, "(0, 1]"),
        (1e30, "(0, inf)"),
        ([0.9, 0.999], "[0, 1)"),
        ([], "[0, 1)"),
        (-3, "(-inf, 0]"),
    ],
)
def test_values_inside(value: float, interval: str) -> None:
    assert within("a.b", value, interval) is None


@pytest.mark.parametrize(
    ("value", "interval"),
    [
        (1, "[0, 1)"),
        (0, "(0, 1]"),
        (-0.1, "[0, 1)"),
        (1.1, "[0, 1]"),
        (float("inf"), "[0, inf)"),
        (float("nan"), "[0, 1]"),
        ([0.5, 1.0], "[0, 1)"),
        ((0.5, 2.0), "[0, 1)"),
        ([0.5, float("nan")], "[0, 1)"),
    ],
)
def test_values_outside_are_named(value: float, interval: str) -> None:
    with pytest.raises(ValueError, match=r"^optimizer\.lr ") as caught:
        within("optimizer.lr", value, interval)
    assert interval in str(caught.value)
    assert str(caught.value).endswith(f"got {value}")
