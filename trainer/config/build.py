"""From a config node to an object: the class's signature is the schema of its settings."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import EllipsisType, NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trainer.core.errors import ConfigError, nearest

Node = Mapping[str, Any]
T = TypeVar("T")

CODE = ("_target_", "function")  # the settings that name code, by its import path

SCALARS = {
    int: ("an integer", "integers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "booleans"),
    str: ("a string", "strings"),
    NoneType: ("null", "nulls"),
}


def build(node: Node, setting: str, kind: type[T], **given: Any) -> T:
    """Make what a node names: `_target_` called with the node's settings.

    `given` are collaborators (a model, a shape); the target gets those that it has parameters for.
    Nodes among the settings are built first. Raises ConfigError that names the setting for a wrong
    key, type or range, and for an object that is not a `kind`.
    """
    target = locate(node, setting)
    made = {key: build_inner(value, f"{setting}.{key}", given) for key, value in node.items()}
    checked = check_settings(target, made, setting, set(given))
    wanted = parameters_of(target, setting)
    collaborators = {name: value for name, value in given.items() if name in wanted}
    try:
        made = target(**collaborators, **checked)
    except ValueError as error:
        text, group = str(error), setting.partition(".")[0]
        named = text.startswith(group) or f" {group}." in text
        raise ConfigError(text if named else f"{setting}: {text}") from error
    if not isinstance(made, kind):
        wanted = f"{kind.__module__.removesuffix('.base')}.{kind.__name__}"
        hint = "; loss=function takes any f(output, target)" if setting == "loss" else ""
        raise ConfigError(f"{setting}._target_={node['_target_']} is not a {wanted}{hint}")
    return made


def build_inner(value: Any, setting: str, given: Mapping[str, Any]) -> Any:
    """A setting that is a node, or that holds some by name, with what they name; else as it is."""
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


def check(node: Node, setting: str, *given: str) -> None:
    """Refuse a wrong key or type where it is too early to build.

    `given` names the collaborators that will be there.
    """
    check_settings(locate(node, setting), node, setting, set(given))


def locate(node: Node, setting: str) -> Any:
    """The class or function that `_target_` names."""
    if not isinstance(node, Mapping):
        raise ConfigError(f"{setting} must name an option of its group, got {shown(node)}")
    return imported(node.get("_target_"), f"{setting}._target_")


def imported(path: Any, setting: str) -> Any:
    """The class or function at an import path. Raises ConfigError where there is none.

    The last part of `setting` must be one of CODE: those alone are looked at in another's config.
    """
    if not isinstance(path, str) or "." not in path:
        raise ConfigError(f"{setting} must be an import path, got {shown(path)}")
    module, _, name = path.rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        absent = error.name or module
        known = absent.split(".")[0] in ("trainer", module.split(".")[0])
        todo = "" if known else f"; it needs the package {absent}, which is not installed"
        raise ConfigError(f"{setting}={path} cannot be imported{todo}") from error
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{setting}={path} cannot be imported: {error}") from error
    if not callable(target):
        raise ConfigError(f"{setting}={path} cannot be called")
    return target


def parameters_of(target: Any, setting: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a target."""
    try:
        return inspect.signature(target).parameters
    except (ValueError, TypeError) as error:  # some builtins have no signature
        raise ConfigError(f"{setting}._target_: {target!r} tells no parameters") from error


def types_of(target: Any) -> dict[str, Any]:
    """The annotations of a target; names that are imported for the type checker alone stay text."""
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return get_type_hints(function)
    except NameError:
        return dict(inspect.get_annotations(function))


def check_settings(target: Any, node: Node, setting: str, given: set[str]) -> dict[str, Any]:
    """The node's settings as the target's annotations want them."""
    parameters = parameters_of(target, setting)
    settings = {key: value for key, value in node.items() if key != "_target_"}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [
        name
        for name, p in parameters.items()
        if name not in given and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    ]
    for key in settings:
        if key not in names and not open_ended:
            close = nearest(key, names).replace("'", "").replace("mean ", f"mean {setting}.")
            raise ConfigError(f"{setting}.{key}: {target.__name__} has no such setting.{close}")
    for name in names:
        if parameters[name].default is inspect.Parameter.empty and name not in settings:
            raise ConfigError(f"{setting}.{name} must be given")
    kinds = types_of(target)
    return {
        key: conform(f"{setting}.{key}", value, kinds.get(key, Any))
        for key, value in settings.items()
    }


def conform(setting: str, value: Any, kind: Any) -> Any:
    """The value as the annotation wants it. Raises ConfigError where it does not fit."""
    if get_origin(kind) in (dict, Mapping) and isinstance(value, Mapping):
        inner = get_args(kind)[1]
        return {key: conform(f"{setting}.{key}", item, inner) for key, item in value.items()}
    if not fits(value, kind):
        wrong = f"{setting} must be {describe(kind)}, got {shown(value)}"
        raise ConfigError(wrong + meant(setting, value, kind))
    return converted(value, kind)


def meant(setting: str, value: Any, kind: Any) -> str:
    """' Did you mean x?' for a misspelt choice, or for the one item of a list."""
    if fits([value], kind):
        return f". Did you mean {setting}=[{shown(value)}]?"
    choices = {shown(choice) for choice in choices_of(kind)}
    close = nearest(shown(value), sorted(choices)).replace("'", "")
    return close and "." + close


def choices_of(kind: Any) -> tuple[Any, ...]:
    """All values that the literals of an annotation list."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    if get_origin(kind) in (Union, UnionType):
        return tuple(choice for option in get_args(kind) for choice in choices_of(option))
    return ()


def fits(value: Any, kind: Any) -> bool:
    """Whether a value from YAML can be what the annotation says."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return any(fits(value, option) for option in get_args(kind))
    if origin is Literal:
        return any(value == option and type(value) is type(option) for option in get_args(kind))
    if origin in (list, tuple, Sequence):
        if not isinstance(value, list):
            return False
        kinds = kinds_of_items(kind, len(value))
        return len(kinds) == len(value) and all(map(fits, value, kinds))
    if origin in (dict, Mapping):
        inner = get_args(kind)[1]
        return isinstance(value, Mapping) and all(fits(item, inner) for item in value.values())
    if kind is float:
        return type(value) in (int, float) and value == value  # NaN is never meant
    if kind is str:  # as in the settings outside the groups: 2026 is a name too
        return type(value) in (str, int, float)
    if kind in SCALARS:
        return type(value) is kind
    if kind is Any or not isinstance(kind, type):
        return True
    return isinstance(value, kind)


def converted(value: Any, kind: Any) -> Any:
    """A fitting value with whole numbers made floats, lists tuples, numbers strings as asked."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        fitting = [option for option in get_args(kind) if fits(value, option)]
        fitting.sort(key=lambda option: (option is not type(value), option is str))
        return converted(value, fitting[0])
    if origin in (list, tuple, Sequence):
        items = list(map(converted, value, kinds_of_items(kind, len(value))))
        return tuple(items) if origin is tuple else items
    return kind(value) if kind in (float, str) else value


def kinds_of_items(kind: Any, length: int) -> list[Any]:
    """The annotation of each item of a list of some length."""
    kinds = list(get_args(kind))
    if get_origin(kind) is tuple and not isinstance(kinds[-1], EllipsisType):
        return kinds
    return [kinds[0]] * length


def describe(kind: Any) -> str:
    """An annotation in words."""
    origin = get_origin(kind)
    if origin in (Union, UnionType, Literal):
        words = [
            shown(option) if origin is Literal else describe(option) for option in get_args(kind)
        ]
        return listed(words)
    if origin in (list, tuple, Sequence):
        kinds = get_args(kind)
        fixed = origin is tuple and not isinstance(kinds[-1], EllipsisType)
        items = SCALARS.get(kinds[0], ("", "values"))[1]
        return f"a list of {len(kinds)} {items}" if fixed else f"a list of {items}"
    if origin in (dict, Mapping):
        return "a mapping"
    if kind in SCALARS:
        return SCALARS[kind][0]
    return f"a {kind.__name__}" if isinstance(kind, type) else str(kind)


def listed(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)


def shown(value: Any) -> str:
    """A value as it is typed on the command line."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(shown, value))}]"
    return str(value)
