"""Nested settings as dotted names."""

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings by dotted name, without those that are null; a component's class by its group."""
    found: list[tuple[str, Any]] = []
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += flatten(value, f"{name}.")
        elif key == "_target_":
            found.append((prefix[:-1], str(value).rsplit(".", 1)[-1]))
        elif value is not None:
            found.append((name, value))
    return found
