"""How the settings are read that several augmentations have."""

from trainer.core.ranges import within

Range = float | tuple[float, float]  # a number or (low, high)


def interval(setting: str, value: Range, bounds: str) -> tuple[float, float]:
    """(low, high) within the bounds; a number stands for itself twice."""
    low, high = value if isinstance(value, tuple) else (value, value)
    within(setting, (low, high), bounds)
    if low > high:
        raise ValueError(f"{setting} must be [low,high], got [{low},{high}]")
    return low, high


def around(setting: str, value: Range, middle: float, bounds: str) -> tuple[float, float]:
    """(low, high) within the bounds; a number is how far from the middle, clipped from below."""
    if isinstance(value, tuple):
        return interval(setting, value, bounds)
    low, high = (float(end) for end in bounds[1:-1].split(","))
    within(setting, value, f"[0, {high - middle:g}{bounds[-1]}")
    return max(low, middle - value), middle + value


def check_pixels(setting: str, value: int | float) -> None:
    """Refuse what is no number of pixels, and as a float no part of a side."""
    within(setting, value, "(0, 1]" if isinstance(value, float) else "[1, inf)")


def pixels(value: int | float, side: int) -> int:
    """A number of pixels, or, as a float, that part of the side, one pixel at least."""
    return max(1, round(value * side)) if isinstance(value, float) else value
