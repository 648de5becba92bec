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
from trainer.config.yaml_limits import LOADER

CHOOSABLE = (*GROUPS, "experiment", "sweep")


@dataclass
class CommandLine:
    """The arguments after `python -m trainer`."""

    arguments: Sequence[str]
    conf: Path

    @cached_property
    def typed(self) -> dict[str, str]:
        """The values of the overrides by their keys, without the signs that add and delete."""
        pairs = (argument.partition("=") for argument in self.arguments if "=" in argument)
        return {key.lstrip("+~"): value for key, _, value in pairs}

    def as_typed(self, key: str) -> str:
        """`key=value` as it was typed; the key alone where a file sets it."""
        return f"{key}={self.typed[key]}" if key in self.typed else key

    @cached_property
    def loader(self) -> ConfigLoaderImpl:
        """Loads the config tree; Hydra's own loader is gone by the time an error arrives."""
        path = create_config_search_path(str(self.conf))
        flags, _ = get_args_parser().parse_known_args(self.arguments)
        if flags.config_dir:
            path.prepend("command-line", f"file://{Path(flags.config_dir).absolute()}")
        return ConfigLoaderImpl(path)

    @cached_property
    def current(self) -> tuple[list[str], Mapping[str, Any]]:
        """The groups and settings of the chosen components by dotted name; the choices by group."""
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
        """The options that have a setting, by its dotted name, for the settings of all groups."""
        found: dict[str, list[str]] = {}
        files = (path for group in GROUPS for path in sorted((self.conf / group).glob("*.yaml")))
        for path in files:
            text = path.read_text()
            package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
            prefix = package[1] if package else path.parent.name
            node = yaml.load(text, LOADER) or {}  # noqa: S506  (a safe loader)
            for name in dotted_names(node, f"{prefix}."):
                found.setdefault(name, []).append(path.stem)
        return found


def dotted_names(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The dotted names of all settings, without component nodes and `_target_`."""
    for key, value in node.items():
        if key in ("_target_", "defaults"):
            continue
        if not (isinstance(value, Mapping) and "_target_" in value):
            yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from dotted_names(value, f"{prefix}{key}.")
