"""Names of components and functions as messages show them."""

from collections.abc import Callable


def option_of(component: object) -> str:
    """Return the option that made a component: `ohem` for an object of trainer.mining.ohem.

    A class from outside the package has the last word of its module.
    """
    words = type(component).__module__.split(".")
    own = words[0] == "trainer" and len(words) > 2
    return (words[2] if own else words[-1]).rstrip("_")


def import_path(function: str | Callable) -> str:
    """The import path of a function, which a string is already."""
    if isinstance(function, str):
        return function
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
