"""The settings of a finished run, merged with those of the run that reads it."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

NOT_READ_BACK = ("experiment", "sweep")  # already expanded in the saved config
OUR_OWN = ("device", "threads", "run", "split", "job")

Config = dict[str, Any]


def as_trained(own: Config, saved: Config) -> Config:
    """The settings that a finished run was trained with, on our device."""
    return own | saved | {"device": own["device"], "compile": False}


def as_asked(own: Config, saved: Config, overrides: Sequence[str]) -> Config:
    """The settings of a finished run, overridden by this command line."""
    config = own | deepcopy(saved)
    for override in overrides:
        key = override.lstrip("+~").split("=", 1)[0].split("@")[0]
        if key in NOT_READ_BACK:
            continue
        node, ours, *parts = config, own, *key.split(".")
        for part in parts[:-1]:
            node, ours = node[part], ours[part]
        node[parts[-1]] = ours[parts[-1]]
    return config | {name: own[name] for name in OUR_OWN}


def same_source(one: Config, other: Config) -> bool:
    """Whether two configs read the same data set, though perhaps split otherwise."""
    return all(one["dataset"].get(key) == other["dataset"].get(key) for key in ("_target_", "root"))
