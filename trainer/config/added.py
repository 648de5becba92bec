"""Settings that options have been given since a run was made."""

import inspect
from collections.abc import Mapping
from typing import Any

from trainer.config.build import locate


def with_defaults(before: Any, now: Any, setting: str = "") -> Any:
    """An older run's settings with those its options lacked, where they are at their defaults now.

    `now` are trusted settings of today. A setting without which the run was made is no change if
    its option does the same by default; any other stays missing.
    """
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return before
    whole = {
        key: with_defaults(value, now.get(key), f"{setting}.{key}".lstrip("."))
        for key, value in before.items()
    }
    added = now.keys() - before.keys()
    if added and isinstance(now.get("_target_"), str) and now["_target_"] == before.get("_target_"):
        defaults = inspect.signature(locate(now, setting)).parameters
        for key in added & defaults.keys():
            default = defaults[key].default
            if (list(default) if isinstance(default, tuple) else default) == now[key]:
                whole[key] = now[key]
    return whole
