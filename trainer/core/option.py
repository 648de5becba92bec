"""Names of components and functions as messages show them."""

import re
from collections.abc import Callable

PLAIN = ("none", "[none]", "null", "default", "false", "constant")  # values typical of a baseline


def option_of(component: object) -> str:
    """Return the option that made a component: `ohem` for an object of trainer.mining.ohem.

    For a class outside the package it is the last part of its module's name.
    """
    words = type(component).__module__.split(".")
    own = words[0] == "trainer" and len(words) > 2
    return (words[2] if own else words[-1]).rstrip("_")


def option_name(target: object) -> str:
    """Return the option behind a `_target_`: its module's name if it is part of trainer."""
    module, _, _ = str(target).rpartition(".")
    ours = re.fullmatch(r"trainer\.\w+\.(\w+)", module)
    return ours[1].rstrip("_") if ours else str(target)


def import_path(function: str | Callable) -> str:
    """Return the import path of a function; a string is taken to be one."""
    if isinstance(function, str):
        return function
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
