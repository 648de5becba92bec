"""Numbers from files that anyone may have written."""

LARGEST = 1e50  # a larger one overflows when it is squared twice, as the test of a mean does
SMALLEST = 1e-50  # a smaller one is zero by then


def finite(value: object) -> float | None:
    """Return a number as a float, below `SMALLEST` as 0; None for text, NaN and what is huge."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    size = abs(value)
    if not size <= LARGEST:  # NaN is not
        return None
    return float(value) if size >= SMALLEST else 0.0
