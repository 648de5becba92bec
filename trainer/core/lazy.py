"""Lazy names: exports imported on first use, and attributes that a method call sets."""

import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

Hooks = tuple[Callable[[str], Any], Callable[[], list[str]]]
CLASS = re.compile(r"^class ([A-Za-z]\w*)", re.MULTILINE)
REEXPORT = re.compile(r"^from \S+ import (\w+)$", re.MULTILINE)  # in a folder's __init__.py


def exports(package: str, names: Mapping[str, str] | None = None) -> Hooks:
    """Return a package's `__getattr__` and `__dir__`, which import its exports on first use.

    `names` maps each export to the submodule that defines it; a submodule maps to itself. By
    default the exports are the classes of a group's options, found in its files, so a new option
    needs no entry. Importing a whole group would slow the start.
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
    """Map each class in a group's files and folders to the submodule that exports it."""
    classes: dict[str, str] = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem not in ("__init__", "base"):
            classes |= dict.fromkeys(CLASS.findall(path.read_text(encoding="utf-8")), path.stem)
    for path in sorted(folder.glob("*/__init__.py")):
        classes |= dict.fromkeys(
            REEXPORT.findall(path.read_text(encoding="utf-8")), path.parent.name
        )
    return classes


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
