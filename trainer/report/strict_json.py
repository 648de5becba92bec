"""JSON as RFC 8259 has it: without NaN and infinity, which other readers refuse."""

import json
import math
from typing import Any


def dumps(value: object, **options: Any) -> str:
    """Format a value as JSON; NaN and infinity become null. The options are json.dumps's."""
    return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: object) -> Any:
    """A value of mappings, lists and scalars with None for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
