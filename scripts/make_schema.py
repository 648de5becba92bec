"""Write JSON schemas of the YAML files, with which an editor completes and checks them.

    python scripts/make_schema.py ~/.config/trainer-schema

writes `experiment.json`, for files of conf/experiment and config.yaml of a run, and a file for each
group, such as `loss.json` for conf/loss. For VS Code with the YAML extension, it prints the
settings that connect them; elsewhere a file's first line can name its schema:
`# yaml-language-server: $schema=FOLDER/loss.json`.

Types come from the classes, descriptions from the comments in conf, ranges of the settings outside
the groups from trainer.config.schema. What else a component refuses is known only to itself.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import EllipsisType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from trainer.config.build import locate, types_of
from trainer.config.compose import CONF
from trainer.config.schema import CHOICES, GROUPS, RANGES, Config, settings_of

Schema = dict[str, Any]

CLOSED = {"additionalProperties": False}
DRAFT = "http://json-schema.org/draft-07/schema#"
SCALARS = {int: "integer", float: "number", bool: "boolean", NoneType: "null"}
INTERPOLATION = {"type": "string", "pattern": r"\$\{|^\?\?\?$"}  # of OmegaConf; ???: to be given
COMMENT = re.compile(r"^ *(\w+):[^#\n]*# (.*(?:\n +# .*)*)", re.MULTILINE)


def type_of(annotation: Any) -> Schema:
    """The schema of the values that `trainer.config.build` accepts for an annotation."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return {"anyOf": [type_of(option) for option in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple and not isinstance(inner[-1], EllipsisType):
        items = [type_of(item) for item in inner]
        return {"type": "array", "items": items, "minItems": len(inner), "maxItems": len(inner)}
    if origin in (list, tuple, Sequence):
        return {"type": "array", "items": type_of(inner[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": type_of(inner[1])}
    if annotation is str:
        return {"type": ["string", "number"]}
    return {"type": SCALARS[annotation]} if annotation in SCALARS else {}


def setting(schema: Schema, description: str | None = None) -> Schema:
    """The schema of a setting: a value, or an interpolation that stands for one."""
    about = {} if description is None else {"description": description}
    return about | ({"anyOf": [schema, INTERPOLATION]} if schema else {})


def descriptions(path: Path) -> dict[str, str]:
    """The comment behind each setting of a YAML file."""
    found = COMMENT.findall(path.read_text(encoding="utf-8"))
    return {name: re.sub(r"\n +# ", " ", text) for name, text in found}


def options_of(group: str) -> dict[str, Schema]:
    """The settings of each option of a group, by name; presets of several options have none."""
    paths = sorted((CONF / group).glob("*.yaml"))
    nodes = {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}
    return {p.stem: option(p, group, node) for p, node in nodes.items() if "_target_" in node}


def option(path: Path, group: str, node: dict[str, Any]) -> Schema:
    """The settings in the file of an option; `_target_` is a constant."""
    defaults = [e if isinstance(e, str) else next(iter(e)) for e in node.pop("defaults", ())]
    nested = {entry.partition("@")[2].partition(".")[0] for entry in defaults}
    types, about = types_of(locate(node, group)), descriptions(path)
    names = dict.fromkeys([*node, *sorted(nested - {""})])
    settings = {n: setting(type_of(types.get(n, Any)), about.get(n)) for n in names}
    return {**settings, "_target_": {"const": node["_target_"]}}


def defaults_list() -> Schema:
    """The schema of a defaults list; names of options are offered, others are accepted."""
    names = {f"override /{group}": choice(list(options_of(group))) for group in GROUPS}
    return {"type": "array", "items": {"anyOf": [{"type": "string"}, {"properties": names}]}}


def choice(known: list[str]) -> Schema:
    """One of the names, or another; or a list of them."""
    one = {"anyOf": [{"enum": known}, {"type": "string"}]}
    return {"anyOf": [one, {"type": "array", "items": one}, {"type": "null"}]}


def group_schema(options: dict[str, Schema]) -> Schema:
    """The schema of an option's file: with a known `_target_` its settings, else any."""
    by_target: dict[str, Schema] = {}
    for settings in options.values():
        target = settings["_target_"]["const"]
        by_target[target] = by_target.get(target, {"defaults": {}}) | settings
    cases = [
        {
            "if": {"properties": {"_target_": {"const": target}}, "required": ["_target_"]},
            "then": {"properties": settings, **CLOSED},
        }
        for target, settings in by_target.items()
    ]
    target = {"anyOf": [{"enum": list(by_target)}, {"type": "string"}]}
    return {"type": "object", "properties": {"_target_": target}, "allOf": cases}


def node_schema(group: str) -> Schema:
    """The schema of a group in an experiment: settings of any option, or a whole component."""
    options = options_of(group)
    whole = {"if": {"required": ["_target_"]}, "then": group_schema(options)}
    one = {"type": "object"} | whole | {"else": {"properties": union(options), **CLOSED}}
    if group != "augmentation":
        return one
    named = dict.fromkeys(options, one)
    return {"type": "object", "properties": named, "additionalProperties": one}


def union(options: dict[str, Schema]) -> Schema:
    """The settings of all options; one that several have fits if it fits one of them."""
    names = sorted({name for settings in options.values() for name in settings} - {"_target_"})
    every = {n: [settings[n] for settings in options.values() if n in settings] for n in names}
    return {n: {"anyOf": [s for i, s in enumerate(e) if s not in e[:i]]} for n, e in every.items()}


def plain(annotation: Any, prefix: str = "") -> Schema:
    """The settings outside the groups."""
    about, found = descriptions(CONF / "config.yaml"), {}
    for name, inner in get_type_hints(annotation).items():
        dotted = f"{prefix}{name}"
        if settings_of(inner):
            found[name] = {"type": "object", **CLOSED, "properties": plain(inner, f"{name}.")}
        elif name not in GROUPS:
            schema = {"enum": list(CHOICES[dotted])} if dotted in CHOICES else type_of(inner)
            found[name] = setting(schema | limits(RANGES.get(dotted)), about.get(name))
    return found


def limits(interval: str | None) -> Schema:
    """An interval such as `[1, inf)` as limits of a number."""
    if interval is None:
        return {}
    low, high = map(float, interval[1:-1].split(","))
    found = {"minimum" if interval[0] == "[" else "exclusiveMinimum": low}
    if high != float("inf"):
        found["maximum" if interval[-1] == "]" else "exclusiveMaximum"] = high
    return found


def schemas() -> dict[str, Schema]:
    """All schemas by the name of their file."""
    head = {"$schema": DRAFT}
    groups = {group: node_schema(group) for group in GROUPS}
    other = {"defaults": defaults_list(), "hydra": {"type": "object"}}
    whole = {"type": "object", "properties": other | plain(Config) | groups, **CLOSED}
    found = {"experiment": head | {"title": "An experiment, or the config of a run"} | whole}
    for group in GROUPS:
        title = {"title": f"An option of the group {group}"}
        found[group] = head | title | group_schema(options_of(group))
    return found


def main(folder: Path) -> None:
    """Write the schemas and print what connects them to VS Code."""
    folder.mkdir(parents=True, exist_ok=True)
    places = {}
    for name, schema in schemas().items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(schema, ensure_ascii=False), encoding="utf-8")
        own = ["**/config.yaml"] if name == "experiment" else []
        places[str(path.resolve())] = [f"**/{name}/**/*.yaml", *own]
    sys.stdout.write(json.dumps({"yaml.schemas": places}, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]).expanduser())
