"""The settings of a finished run, merged with those of the run that reads it."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from trainer.config.flatten import flatten

NOT_READ_BACK = ("experiment", "sweep")  # already expanded in the saved config
OF_A_COMMAND = ("resume", "resume_allow", "quiet", "debug")
OUR_OWN = ("device", "threads", "run", "split", "source", "metrics", "job")

Config = dict[str, Any]


def as_trained(own: Config, saved: Config) -> Config:
    """The settings that a finished run was trained with, on our device."""
    return own | saved | {"device": own["device"], "compile": False}


def as_asked(own: Config, saved: Config, overrides: Sequence[str]) -> Config:
    """The settings of a finished run, overridden by this command line."""
    config = overridden(own | deepcopy(saved), own, overrides)
    return config | {name: own[name] for name in OUR_OWN}


def as_resumed(own: Config, saved: Config, overrides: Sequence[str]) -> Config:
    """The settings to continue a run with: its own, overridden by this command line."""
    config = overridden(own | deepcopy(saved), own, overrides)
    return config | {name: own[name] for name in OF_A_COMMAND}


def overridden(config: Config, own: Config, overrides: Sequence[str]) -> Config:
    """A config with the settings that the command line names replaced by our own."""
    for override in overrides:
        key = override.lstrip("+~").split("=", 1)[0].split("@")[0]
        if key in NOT_READ_BACK:
            continue
        node, ours, *parts = config, own, *key.split(".")
        for part in parts[:-1]:
            node, ours = node[part], ours[part]
        node[parts[-1]] = ours[parts[-1]]
    return config


def on_the_line(config: Config, overrides: Sequence[str], varied: Sequence[str]) -> Config:
    """The options and settings that a command line names; if some are `varied`, those alone."""
    values, found = dict(flatten(config)), {}
    for override in overrides:
        key, _, typed = override.lstrip("+~").partition("=")
        if not varied or key in varied:
            found[key] = typed if isinstance(config.get(key), dict) else values.get(key, typed)
    return found


def with_size(config: Config, size: Sequence[int]) -> Config:
    """The settings with images of a given size, where the data would decide on it."""
    node = config["dataset"]
    if "size" not in node or node["size"] not in (None, "auto") or node.get("fit") == "uncut":
        return config
    return config | {"dataset": node | {"size": list(size)}}


def same_source(one: Config, other: Config) -> bool:
    """Whether two configs read the same data set, though perhaps split otherwise."""
    return source_of(one["dataset"]) == source_of(other["dataset"])


def source_of(node: Config) -> tuple[object, ...]:
    """The class of a data set, and its folder, table or shards, however they are spelled."""
    paths = (node.get(name) for name in ("root", "file", "train", "hub"))
    places = (Path(p).expanduser().resolve() if isinstance(p, str) else p for p in paths)
    return node.get("_target_"), *places
