"""Range checks whose message names the setting."""

from collections.abc import Sequence


def within(setting: str, value: float | Sequence[float], interval: str) -> None:
    """Raise ValueError unless the value, or each of a list, lies in an interval such as `(0, 1]`.

    NaN is never inside.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    for number in value if isinstance(value, Sequence) else [value]:
        above = number > low if interval[0] == "(" else number >= low
        below = number < high if interval[-1] == ")" else number <= high
        if not (above and below):
            raise ValueError(f"{setting} must be in {interval}, got {value}")
