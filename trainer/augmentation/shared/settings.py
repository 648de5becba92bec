"""Parsing of settings that several augmentations share."""

from trainer.core.ranges import within

Range = float | tuple[float, float]  # a number or (low, high)


def interval(setting: str, value: Range, bounds: str) -> tuple[float, float]:
    """(low, high) from a number or a pair. Raises ValueError outside `bounds` or if high < low."""
    low, high = value if isinstance(value, tuple) else (value, value)
    within(setting, (low, high), bounds)
    if low > high:
        raise ValueError(f"{setting} must be [low,high], got [{low},{high}]")
    return low, high


def around(setting: str, value: Range, middle: float, bounds: str) -> tuple[float, float]:
    """(low, high); a number is the largest distance from `middle`, cut off at the lower bound.

    Raises ValueError outside the bounds.
    """
    if isinstance(value, tuple):
        return interval(setting, value, bounds)
    low, high = (float(end) for end in bounds[1:-1].split(","))
    within(setting, value, f"[0, {high - middle:g}{bounds[-1]}")
    return max(low, middle - value), middle + value


def output_size(setting: str, value: int | list[int] | None) -> tuple[int, int] | None:
    """Height and width from a side or a pair; None for None. Raises ValueError for others."""
    if value is None:
        return None
    sides = (value, value) if isinstance(value, int) else tuple(value)
    if len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides):
        raise ValueError(f"{setting} must be null, a side or [height, width], got {value}")
    return sides[0], sides[1]


def check_length(setting: str, value: int | float) -> None:
    """Raise ValueError unless a length is an int ≥ 1 (pixels) or a float ≤ 1 (part of a side)."""
    within(setting, value, "(0, 1]" if isinstance(value, float) else "[1, inf)")


def to_pixels(value: int | float, side: int) -> int:
    """A length in pixels: a float is a fraction of the side, at least one pixel."""
    return max(1, round(value * side)) if isinstance(value, float) else value
