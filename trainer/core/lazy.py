"""Names and attributes that come later: exports imported on first use, values that a call sets."""

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

Hooks = tuple[Callable[[str], Any], Callable[[], list[str]]]
CLASS = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)
HANDED_ON = re.compile(r"^from \S+ import (\w+)$", re.MULTILINE)  # in the __init__ of a folder


def exports(package: str, names: Mapping[str, str] | None = None) -> Hooks:
    """A package's `__getattr__` and `__dir__`, which import what it exports on first use.

    `names` maps a name to the submodule that defines it, or that it is. By default they are the
    classes of a group's options, found in its files: a new option needs no entry anywhere.
    Importing all of a group would cost start-up time.
    """
    namespace = vars(sys.modules[package])

    @cache
    def known() -> Mapping[str, str]:
        return options_in(Path(namespace["__file__"]).parent) if names is None else names

    def load(name: str) -> Any:
        if name.startswith("__") or name not in known():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{known()[name]}")
        namespace[name] = value = module if name == known()[name] else getattr(module, name)
        return value

    return load, lambda: sorted({*namespace, *known()})


def options_in(folder: Path) -> dict[str, str]:
    """The classes of a group's files and folders, each with its submodule."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem not in ("__init__", "base"):
            found |= dict.fromkeys(CLASS.findall(path.read_text()), path.stem)
    for path in sorted(folder.glob("*/__init__.py")):
        found |= dict.fromkeys(HANDED_ON.findall(path.read_text()), path.parent.name)
    return found


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
