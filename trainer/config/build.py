"""Builds components from config nodes; a class's signature is the schema of its settings."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import EllipsisType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean

Node = Mapping[str, Any]
T = TypeVar("T")

PLAIN = (object.__init__, object.__new__)
CODE = ("_target_", "function")  # settings whose value is an import path

SCALARS = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "booleans"),
    str: ("a string", "strings"),
    NoneType: ("null", "nulls"),
}


def build(node: Node, setting: str, expected: type[T], /, **given: Any) -> T:
    """Build a node's component: call its `_target_` with its settings, inner nodes built first.

    `given` are collaborators such as a model or a shape; the target receives those that it has
    parameters for. Raises ConfigError, naming the setting, for a wrong key, type or range, and for
    an object that is not an instance of `expected`.
    """
    target = locate(node, setting)
    if inspect.isclass(target) and not issubclass(target, expected):
        raise wrong_kind(node, setting, expected)
    inner = {key: build_inner(value, f"{setting}.{key}", given) for key, value in node.items()}
    try:
        settings = check_settings(target, inner, setting, set(given))
    except ConfigError as error:
        if inspect.isclass(target) or len(node) > 1:
            raise
        raise wrong_kind(node, setting, expected) from error  # a function that makes something else
    parameters = parameters_of(target, setting)
    collaborators = {name: value for name, value in given.items() if name in parameters}
    try:
        component = target(**collaborators, **settings)
    except ValueError as error:
        text, group = str(error), setting.partition(".")[0]
        named = text.startswith(group) or f" {group}." in text
        raise ConfigError(text if named else f"{setting}: {text}") from error
    if not isinstance(component, expected):
        raise wrong_kind(node, setting, expected)
    return component


def wrong_kind(node: Node, setting: str, kind: type) -> ConfigError:
    """The error for a target that makes no `kind`."""
    wanted = f"{kind.__module__.removesuffix('.base')}.{kind.__name__}"
    hint = "; loss=function takes any f(output, target)" if setting == "loss" else ""
    return ConfigError(f"{setting}._target_={node['_target_']} is not a {wanted}{hint}")


def build_inner(value: Any, setting: str, given: Mapping[str, Any]) -> Any:
    """Return a setting's value with every node in it replaced by the component it describes."""
    if not isinstance(value, Mapping):
        return value
    if "_target_" not in value:
        return {k: build_inner(inner, f"{setting}.{k}", given) for k, inner in value.items()}
    try:
        return build(value, setting, object, **given)
    except ConfigError as error:
        group, text = setting.partition(".")[0], str(error)
        if text.startswith(setting) or not text.startswith(f"{group}."):
            raise
        raise ConfigError(setting + text[len(group) :]) from error


def check_signature(node: Node, setting: str, *given: str) -> None:
    """Raise ConfigError for a wrong key or type in a node whose component is built later.

    `given` are the names of the collaborators that it will be built with.
    """
    check_settings(locate(node, setting), node, setting, set(given))


def locate(node: Node, setting: str) -> Any:
    """Import the class or function that a node's `_target_` names. Raises ConfigError."""
    if not isinstance(node, Mapping):
        raise ConfigError(f"{setting} must name an option of its group, got {format_value(node)}")
    return import_callable(node.get("_target_"), f"{setting}._target_")


def import_callable(path: Any, setting: str) -> Any:
    """Import the class or function at a path. Raises ConfigError if there is none.

    The last part of `setting` must be in CODE: an untrusted config is checked for those keys only.
    """
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(
            f"{setting} must be an import path, got {format_value(path) or 'nothing'}"
        )
    module, _, name = path.rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        absent = error.name or module
        known = absent.split(".")[0] in ("trainer", module.split(".")[0])
        hint = "" if known else f"; it needs the package {absent}, which is not installed"
        raise ConfigError(f"{setting}={path} cannot be imported{hint}") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}={path} cannot be imported: {error}") from error
    if not callable(target):
        raise ConfigError(f"{setting}={path} is not callable")
    return target


def parameters_of(target: Any, setting: str) -> Mapping[str, inspect.Parameter]:
    """Return a target's parameters by name. Raises ConfigError if it has no signature."""
    if inspect.isclass(target) and (target.__init__, target.__new__) == PLAIN:
        return {}  # a null object, for which `inspect` would parse a text each time
    try:
        return inspect.signature(target).parameters
    except (ValueError, TypeError) as error:  # some builtins have no signature
        raise ConfigError(f"{setting}._target_: {target!r} has no signature") from error


def types_of(target: Any) -> dict[str, Any]:
    """Return a target's annotations by parameter; names from TYPE_CHECKING imports stay strings."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function)
    except NameError:
        return dict(inspect.get_annotations(function))


def check_settings(target: Any, node: Node, setting: str, given: set[str]) -> dict[str, Any]:
    """The node's settings, converted to the types of the target's annotations.

    Raises ConfigError for a setting that is unknown, missing or of the wrong type.
    """
    parameters = parameters_of(target, setting)
    settings = {key: value for key, value in node.items() if key != "_target_"}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [
        name
        for name, p in parameters.items()
        if name not in given and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    for key in settings:
        if key not in names and not takes_any:
            hint = did_you_mean(key, names, prefix=f"{setting}.")
            raise ConfigError(f"{setting}.{key}: {target.__name__} has no such setting.{hint}")
    for name in names:
        if parameters[name].default is inspect.Parameter.empty and name not in settings:
            raise ConfigError(f"{setting}.{name} must be given")
    annotations = types_of(target)
    return {
        key: conform(f"{setting}.{key}", value, annotations.get(key, Any))
        for key, value in settings.items()
    }


def conform(setting: str, value: Any, annotation: Any) -> Any:
    """Convert a value to an annotation's type. Raises ConfigError if it does not fit."""
    if get_origin(annotation) in (dict, Mapping) and isinstance(value, Mapping):
        inner = get_args(annotation)[1]
        return {key: conform(f"{setting}.{key}", item, inner) for key, item in value.items()}
    if fits(value, annotation):
        return convert(value, annotation)
    hint = did_you_mean(format_value(value), map(format_value, choices_of(annotation)), start=". ")
    if fits([value], annotation):
        hint = f". Did you mean {setting}=[{format_value(value)}]?"
    raise ConfigError(f"{setting} must be {describe(annotation)}, got {format_value(value)}{hint}")


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Return the values that an annotation's literals allow; empty if it has none."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return tuple(choice for option in get_args(annotation) for choice in choices_of(option))
    return ()


def fits(value: Any, annotation: Any) -> bool:
    """Return whether a YAML value has an annotation's type, or converts to it without loss."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(annotation))
    if origin is Literal:
        return any(
            value == option and type(value) is type(option) for option in get_args(annotation)
        )
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            return False
        annotations = item_annotations(annotation, len(value))
        return len(annotations) == len(value) and all(map(fits, value, annotations))
    if origin in (dict, Mapping):
        inner = get_args(annotation)[1]
        return isinstance(value, Mapping) and all(fits(item, inner) for item in value.values())
    if annotation is float:
        return type(value) in (int, float) and value == value  # NaN is always a mistake
    if annotation is str:  # a name may be 2026; the schema outside the groups converts it too
        return type(value) in (str, int, float)
    if annotation in SCALARS:
        return type(value) is annotation
    if annotation is Any or not isinstance(annotation, type):
        return True
    return isinstance(value, annotation)


def convert(value: Any, annotation: Any) -> Any:
    """Convert a value that fits an annotation to its type: int to float, list to tuple, ..."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        fitting = [option for option in get_args(annotation) if fits(value, option)]
        fitting.sort(key=lambda option: (option is not type(value), option is str))
        return convert(value, fitting[0])
    if origin in (list, tuple, Sequence):
        items = list(map(convert, value, item_annotations(annotation, len(value))))
        return tuple(items) if origin is tuple else items
    return annotation(value) if annotation in (float, str) else value


def item_annotations(annotation: Any, length: int) -> list[Any]:
    """Return the annotation of each item of a list of `length` items."""
    annotations = list(get_args(annotation))
    if get_origin(annotation) is tuple and not isinstance(annotations[-1], EllipsisType):
        return annotations
    return [annotations[0]] * length


def describe(annotation: Any) -> str:
    """Describe an annotation for a message: `a number or null`, `a list of 2 integers`."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Literal):
        alternatives = [
            format_value(option) if origin is Literal else describe(option)
            for option in get_args(annotation)
        ]
        return join_with_or(alternatives)
    if origin in (list, tuple, Sequence):
        annotations = get_args(annotation)
        fixed = origin is tuple and not isinstance(annotations[-1], EllipsisType)
        items = SCALARS.get(annotations[0], ("", "values"))[1]
        return f"a list of {len(annotations)} {items}" if fixed else f"a list of {items}"
    if origin in (dict, Mapping):
        return "a mapping"
    if annotation in SCALARS:
        return SCALARS[annotation][0]
    return f"a {annotation.__name__}" if isinstance(annotation, type) else str(annotation)


def join_with_or(alternatives: Sequence[str]) -> str:
    """Join alternatives as in `a, b or c`."""
    *others, last = alternatives
    return f"{', '.join(others)} or {last}" if others else last


def format_value(value: Any) -> str:
    """Format a value as it is typed on the command line: `null`, `true`, `[1,2]`."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(format_value, value))}]"
    return str(value)
