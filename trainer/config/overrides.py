"""A command line as it was typed, and the config tree that it chooses from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.types import RunMode
from omegaconf import OmegaConf

from trainer.config.schema import GROUPS
from trainer.core.yaml_limits import LOADER

CHOOSABLE = (*GROUPS, "experiment", "sweep")


@dataclass
class CommandLine:
    """The arguments after `python -m trainer`, and the config folder that they choose from."""

    arguments: Sequence[str]
    conf: Path

    @cached_property
    def typed(self) -> dict[str, str]:
        """The values of the overrides by key, the key without a leading `+` or `~`."""
        pairs = (argument.partition("=") for argument in self.arguments if "=" in argument)
        return {key.lstrip("+~"): value for key, _, value in pairs}

    def as_typed(self, key: str) -> str:
        """Return `key=value` as it was typed, or the key alone if a file sets it."""
        return f"{key}={self.typed[key]}" if key in self.typed else key

    @cached_property
    def loader(self) -> ConfigLoaderImpl:
        """A loader of the config tree; Hydra's own is gone by the time an error is explained."""
        path = create_config_search_path(str(self.conf))
        flags, _ = get_args_parser().parse_known_args(self.arguments)
        if flags.config_dir:
            path.prepend("command-line", f"file://{Path(flags.config_dir).absolute()}")
        return ConfigLoaderImpl(path)

    @cached_property
    def current(self) -> tuple[list[str], Mapping[str, Any]]:
        """Dotted names of all groups and of the chosen options' settings; the choice by group."""
        chosen = [f"{key}={value}" for key, value in self.typed.items() if key in CHOOSABLE]
        single = [text if "[" in text else text.split(",")[0] for text in chosen]
        for overrides in (single, []):
            try:
                config = self.loader.load_configuration("config", overrides, RunMode.RUN)
            except Exception:  # noqa: S112  (a mistake among the choices is reported elsewhere)
                continue
            plain: Any = OmegaConf.to_container(config, resolve=False)
            names = dict.fromkeys([*CHOOSABLE, *dotted_names(plain, "")])
            return list(names), dict(config.hydra.runtime.choices)
        return [], {}

    @cached_property
    def owners(self) -> dict[str, list[str]]:
        """For each setting of any option, by dotted name: the options that have it."""
        owners: dict[str, list[str]] = {}
        files = (path for group in GROUPS for path in sorted((self.conf / group).glob("*.yaml")))
        for path in files:
            text = path.read_text(encoding="utf-8")
            package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
            prefix = package[1] if package else path.parent.name
            node = yaml.load(text, LOADER) or {}  # noqa: S506  (a safe loader)
            for name in dotted_names(node, f"{prefix}."):
                owners.setdefault(name, []).append(path.stem)
        return owners


def with_common_settings(arguments: Sequence[str], conf: Path) -> list[str]:
    """Let an option in `--config-dir` have the settings that all options of its group have.

    Such a setting on the command line, as `dataset.subset=100`, is added to an option whose file
    leaves it out: its class refuses what it does not take.
    """
    flags, _ = get_args_parser().parse_known_args(arguments)
    if not flags.config_dir:
        return list(arguments)
    typed = CommandLine(arguments, conf).typed

    def added(argument: str) -> str:
        group, _, key = argument.partition("=")[0].partition(".")
        if group not in GROUPS or not key:
            return argument
        options = (
            Path(flags.config_dir, group, f"{o}.yaml") for o in typed.get(group, "").split(",")
        )
        lacking = any(path.is_file() and key not in keys_of(path) for path in options)
        return f"++{argument}" if lacking and key in common_settings(conf / group) else argument

    return [added(argument) for argument in arguments]


def common_settings(folder: Path) -> set[str]:
    """The settings of a group that all of its options have, except options without any."""
    found = [
        keys - {"_target_"}
        for path in folder.glob("*.yaml")
        if "_target_" in (keys := keys_of(path))
    ]
    return set.intersection(*filter(None, found))


def keys_of(path: Path) -> set[str]:
    """The settings in the file of an option."""
    with path.open(encoding="utf-8") as file:  # an error names it
        node = yaml.load(file, LOADER)  # noqa: S506  (a safe loader)
    return set(node) if isinstance(node, Mapping) else set()


def dotted_names(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the dotted names of all settings, without component nodes and `_target_`."""
    for key, value in node.items():
        if key in ("_target_", "defaults"):
            continue
        if not (isinstance(value, Mapping) and "_target_" in value):
            yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from dotted_names(value, f"{prefix}{key}.")
