"""From a config node to an object: the class's signature is the schema of its settings."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from trainer.errors import ConfigError, nearest

Node = Mapping[str, Any]


def build(node: Node, setting: str, **given: Any) -> Any:
    """Make what a node names: `_target_` called with the node's settings.

    `given` are collaborators (a model, a shape); the target gets those that it has parameters for.
    Raises ConfigError that names the setting for a wrong key, type or range.
    """
    target = locate(node, setting)
    settings = {key: value for key, value in node.items() if key != "_target_"}
    checked = check_settings(target, settings, setting, set(given))
    wanted = inspect.signature(target).parameters
    collaborators = {name: value for name, value in given.items() if name in wanted}
    try:
        return target(**collaborators, **checked)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def locate(node: Node, setting: str) -> Any:
    """The class or function that `_target_` names."""
    path = node.get("_target_")
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"{setting}._target_ must be an import path, got {path!r}")
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}._target_={path} cannot be imported: {error}") from error


def check_settings(
    target: Any, settings: Mapping[str, Any], setting: str, given: set[str]
) -> dict[str, Any]:
    """The settings with whole numbers made floats where floats are asked for."""
    parameters = inspect.signature(target).parameters
    hints = get_type_hints(target if not inspect.isclass(target) else target.__init__)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [name for name in parameters if name not in given]
    for key in settings:
        if key not in names and not open_ended:
            raise ConfigError(
                f"{setting}.{key} is no setting of {target.__name__}.{nearest(key, names)}"
            )
    for name in names:
        parameter = parameters[name]
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if required and name not in settings:
            raise ConfigError(f"{setting}.{name} must be given")
    return {
        key: conform(f"{setting}.{key}", value, hints.get(key, Any))
        for key, value in settings.items()
    }


def conform(setting: str, value: Any, kind: Any) -> Any:
    """The value as the annotation wants it. Raises ConfigError where it does not fit."""
    if not fits(value, kind):
        raise ConfigError(f"{setting} must be {describe(kind)}, got {value!r}")
    if type(value) is int and wants_float(kind):
        return float(value)
    return value


def fits(value: Any, kind: Any) -> bool:
    """Whether a value from YAML is of the annotated type."""
    origin = get_origin(kind)
    if kind is Any or isinstance(kind, str):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(kind))
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(kind))
    if origin in (list, tuple, Sequence):
        inner = get_args(kind)[0]
        return isinstance(value, list) and all(fits(item, inner) for item in value)
    if origin in (dict, Mapping):
        inner = get_args(kind)[1]
        return isinstance(value, Mapping) and all(fits(item, inner) for item in value.values())
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind if isinstance(kind, type) else True


def wants_float(kind: Any) -> bool:
    """Whether a whole number is to become a float."""
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return float in options and int not in options


def describe(kind: Any) -> str:
    """An annotation in words."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(describe(option) for option in get_args(kind))
    if origin is Literal:
        return " or ".join(repr(option) for option in get_args(kind))
    if origin in (list, tuple, Sequence):
        return f"a list of {describe(get_args(kind)[0])}"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    return "null" if kind is NoneType else names.get(kind, str(kind))
