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

CHOOSABLE = (*GROUPS, "experiment", "sweep")


@dataclass
class CommandLine:
    """The arguments after `python -m trainer`."""

    arguments: Sequence[str]
    conf: Path

    @cached_property
    def typed(self) -> dict[str, str]:
        """The overrides by their keys, without the signs that add and delete."""
        pairs = (argument.partition("=") for argument in self.arguments if "=" in argument)
        return {key.lstrip("+~"): value for key, _, value in pairs}

    def said(self, key: str) -> str:
        """`key=value` as it was typed, the key alone where it comes from a file."""
        return f"{key}={self.typed[key]}" if key in self.typed else key

    @cached_property
    def loader(self) -> ConfigLoaderImpl:
        """Reads the tree. Hydra's own is gone by the time an error arrives."""
        path = create_config_search_path(str(self.conf))
        flags, _ = get_args_parser().parse_known_args(self.arguments)
        if flags.config_dir:
            path.prepend("command-line", f"file://{Path(flags.config_dir).absolute()}")
        return ConfigLoaderImpl(path)

    def options(self, group: str) -> list[str]:
        """The options of a group."""
        return self.loader.get_group_options(group)

    @cached_property
    def current(self) -> tuple[list[str], Mapping[str, Any]]:
        """The settings of the chosen components by dotted name; what is chosen in each group."""
        chosen = [f"{key}={value}" for key, value in self.typed.items() if key in CHOOSABLE]
        single = [text if "[" in text else text.split(",")[0] for text in chosen]
        for overrides in (single, []):
            try:
                config = self.loader.load_configuration("config", overrides, RunMode.RUN)
            except Exception:  # noqa: S112  (a mistake among the choices is told another time)
                continue
            plain: Any = OmegaConf.to_container(config, resolve=False)
            return list(dict.fromkeys([*CHOOSABLE, *flat(plain, "")])), dict(
                config.hydra.runtime.choices
            )
        return [], {}

    def owners(self, group: str) -> dict[str, list[str]]:
        """The settings of all options of a group by dotted name, with the options they are of."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.conf / group).glob("*.yaml")) if group in GROUPS else ():
            text = path.read_text()
            package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
            prefix = package[1] if package else group
            for name in flat(yaml.safe_load(text) or {}, f"{prefix}."):
                found.setdefault(name, []).append(path.stem)
        return found

    def elsewhere(self, word: str) -> dict[str, list[str]]:
        """What `owners` says of all groups' settings whose last part is the word."""
        owners = {name: of for group in GROUPS for name, of in self.owners(group).items()}
        return {name: of for name, of in owners.items() if name.rpartition(".")[2] == word}


def flat(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Dotted names of all keys, but for the components' own."""
    for key, value in node.items():
        if key in ("_target_", "defaults"):
            continue
        if not (isinstance(value, Mapping) and "_target_" in value):
            yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
