"""Nested settings as dotted names."""

from collections.abc import Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """List dotted names and values, without nulls; a `_target_` is its class under the node's name.

    `{"loss": {"_target_": "trainer.loss.focal.Focal", "gamma": 2}}` gives
    `[("loss", "Focal"), ("loss.gamma", 2)]`.
    """
    settings: list[tuple[str, Any]] = []
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            settings += flatten(value, f"{name}.")
        elif key == "_target_":
            settings.append((prefix[:-1], str(value).rsplit(".", 1)[-1]))
        elif value is not None:
            settings.append((name, value))
    return settings
