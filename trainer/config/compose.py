"""Turns a composed config into validated settings; registers the resolvers of the YAML files."""

import copy
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, StringNode, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from trainer.config import schema
from trainer.config.flatten import flatten
from trainer.core.errors import ConfigError, DataError

PACKAGE = Path(__file__).parents[1]
CONF = next(p for p in (PACKAGE / "conf", PACKAGE.parent / "conf") if (p / "config.yaml").is_file())
LONGEST_NAME = 120  # characters of a folder name before its hash
NOT_HASHED = ("hydra.", "hydra/", "resume", "quiet=", "debug=")
VARIED = "TRAINER_VARIED"  # in the environment of a sweep's jobs: the settings that differ
NOT_GIVEN = object()
HOME = re.compile(r"~(/|$)")
NOT_UTF8 = re.compile("[\ud800-\udfff]")  # surrogates: PEP 383
NAMES = ("dataset.classes",)  # settings that hold names, of which `~` may be one
WRONG_CONFIG = (ValueError, OmegaConfBaseException, HydraException, YAMLError, RecursionError)


def check_choices(overrides: Sequence[str]) -> None:
    """Raise ConfigError for a list of options in a group that takes one; Hydra would merge them."""
    for override in overrides:
        group, _, value = override.lstrip("+").partition("=")
        if group in schema.GROUPS and group != "augmentation" and re.match(r"\[.*,", value):
            raise ConfigError(f"{override}: {group} takes one option")


def resolve(config: DictConfig) -> dict[str, Any]:
    """Return the settings as plain containers, references resolved and ranges checked.

    Raises ConfigError for an unknown setting or a value out of range, and OmegaConf's errors for
    a missing value or a reference that cannot be resolved.
    """
    own = copy.deepcopy(config)  # `masked_copy` would lose the types that the schema gives
    with open_dict(own):
        own.pop("hydra", None)
    settings = OmegaConf.to_container(own, resolve=True, throw_on_missing=True)
    if not isinstance(settings, dict):
        raise ConfigError("the config is not a mapping")
    plain = {str(key): at_home(value, str(key)) for key, value in settings.items()}
    plain["runs"] = as_paths(plain.get("runs"))
    check_encoding(plain)
    schema.validate(plain)
    return plain


def check_encoding(settings: dict[str, Any]) -> None:
    """Raise an error for a text that is not UTF-8, such as a path: no YAML file could hold it."""
    for setting, value in flatten(settings):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and NOT_UTF8.search(text):
                kind = DataError if setting.startswith("dataset.") else ConfigError
                raise kind(f"{setting}={text} is not UTF-8; rename it, or link to it")


def at_home(value: Any, setting: str) -> Any:
    """A setting's value with `~/` at the start of every text replaced by the home folder."""
    if setting in NAMES:
        return value
    if isinstance(value, dict):
        return {key: at_home(inner, f"{setting}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [at_home(inner, setting) for inner in value]
    return os.path.expanduser(value) if isinstance(value, str) and HOME.match(value) else value  # noqa: PTH111


def typed_at_home(argument: str) -> str:
    """The same for an argument such as `hydra.run.dir=~/runs/1`, which Hydra itself reads."""
    setting, equals, value = argument.partition("=")
    if setting.lstrip("+") in NAMES:
        return argument
    home = os.path.expanduser("~")  # noqa: PTH111
    return f"{setting}{equals}" + re.sub(
        r"(^|[\[,\"'])~(?=[/,\]\"']|$)", lambda m: m[1] + home, value
    )


def as_paths(value: Any) -> Any:
    """The value of a setting that holds paths, with the names that read as numbers as text."""
    if isinstance(value, list):
        return [as_paths(inner) for inner in value]
    return str(value) if type(value) is int else value


def file_name(text: str) -> str:
    """Make a text safe for a folder name; a long one is cut and given a hash."""
    plain = re.sub(r"[^\w.,=+-]+", "_", text.replace("/", "_"))
    if len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def in_sweep() -> bool:
    """Whether this process runs a job of a sweep."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def sweep_hash() -> str:
    """Hash the overrides regardless of their order, so that a repeated sweep finds its folder."""
    overrides = [argument for argument in sys.argv[1:] if "=" in argument]
    hashed = sorted(o for o in overrides if not o.lstrip("+~").startswith(NOT_HASHED))
    return hashlib.sha256("\n".join(hashed).encode()).hexdigest()[:10]


def environment(name: str, default: Any = NOT_GIVEN, *, _node_: Any = None) -> Any:
    """The value of an environment variable, converted as typed text is: `2` is a number.

    `_node_` is the setting; it stays text where the schema says so, as for the paths `run=2026`.
    """
    text = os.environ.get(name, default)
    if text is NOT_GIVEN:
        raise KeyError(f"Environment variable '{name}' not found")
    if not isinstance(text, str) or (isinstance(_node_, StringNode) and text != "null"):
        return text
    try:
        value = OverridesParser.create().parse_override(f"x={text}").value()
    except HydraException:
        return text  # it would have needed quotes
    return str(value) if isinstance(value, QuotedString) else value


def register_resolvers() -> None:
    """Register the functions that config files call as `${name:...}`."""
    from trainer.config.help import choices

    register = OmegaConf.register_new_resolver
    register("run_suffix", lambda: secrets.token_hex(2), use_cache=True, replace=True)
    register("sweep_hash", sweep_hash, replace=True)
    register("file_name", file_name, replace=True)
    register("choices", choices, replace=True)
    register("oc.env", environment, replace=True)
