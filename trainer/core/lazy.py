"""Names and attributes that come later: exports imported on first use, values that a call sets."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exports(
    package: str, options: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`, which import each option when it is first used.

    `options` maps a name to the submodule that defines it; a submodule exports itself by its own
    name. Importing all of a group would cost start-up time.
    """
    names = vars(sys.modules[package])

    def load(name: str) -> Any:
        if name not in options:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{options[name]}")
        names[name] = value = module if name == options[name] else getattr(module, name)
        return value

    return load, lambda: sorted({*names, *options})


class SetBy:
    """An attribute that a method sets: reading it earlier raises RuntimeError, naming the method.

    Once set, Python finds the instance's own value first, so later reads cost nothing.
    """

    def __init__(self, call: str) -> None:
        self.call = call

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise RuntimeError(f"{owner.__name__} lacks `{self.name}`: call {self.call} first")


def set_by(call: str) -> Any:
    """Declare an attribute of any type that `call` sets, such as `prepare(labels)`."""
    return SetBy(call)
