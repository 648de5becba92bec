"""JSON as RFC 8259 has it: without NaN and infinity, which other readers refuse."""

import json
import math
import re
from typing import Any

NUMBERS = re.compile(r"\[\n\s+(-?\d[^\[\]{}\"]*)\n\s*\]")  # a list of numbers, one a line


def dumps(value: object, **options: Any) -> str:
    """Format a value as JSON; NaN and infinity become null. The options are json.dumps's.

    With `indent`, a list of numbers still stands on one line.
    """
    text = json.dumps(finite(value), allow_nan=False, **options)
    if "indent" not in options:
        return text
    return NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text)


def finite(value: object) -> Any:
    """A value of mappings, lists and scalars with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
