"""Hydra's and OmegaConf's errors as one line that names the setting and the nearest spelling."""

import re
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml
from hydra.errors import ConfigCompositionException, MissingConfigException

from trainer.schema import GROUPS

CLOSE = 0.6  # similarity above which a spelling is suggested


def explain(error: Exception, arguments: list[str], conf: Path) -> str:
    """One line for an error of composing the config."""
    text = str(error)
    if isinstance(error, MissingConfigException):
        return explain_option(text, conf)
    match = re.search(
        r"Could not (?:override|append to config|delete from config).*?'([^']+)'", text
    )
    if match:
        return unknown(match[1].removeprefix("+"), arguments, conf)
    match = re.search(r"Key '([^']+)' (?:is )?not in", text)
    if match:
        return unknown(full_key(text) or match[1], arguments, conf)
    if isinstance(error, ConfigCompositionException) and error.__cause__ is not None:
        return explain(Exception(str(error.__cause__)), arguments, conf)
    key = full_key(text)
    lines = text.strip().splitlines()
    first = lines[0].rstrip(".") if lines else type(error).__name__
    return f"{key}: {first}" if key and key not in first else first


def full_key(text: str) -> str:
    """The setting that an OmegaConf error is about."""
    match = re.search(r"full_key: (\S+)", text)
    return match[1] if match else ""


def explain_option(text: str, conf: Path) -> str:
    """A group's option that does not exist."""
    match = re.search(r"'(?:[^']*/)?([^'/]+)/([^'/]+)'", text)
    if match is None:
        return text.strip().splitlines()[0]
    group, option = match.groups()
    options = options_of(conf, group)
    if not options:
        return f"there is no config {group}/{option}"
    close = suggest(option, options)
    hint = f" Did you mean {group}={close}?" if close else ""
    return f"{group}={option}: there is no such option.{hint} Options: {', '.join(options)}"


def options_of(conf: Path, group: str) -> list[str]:
    """Names of a group's files."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def unknown(key: str, arguments: list[str], conf: Path) -> str:
    """A setting that does not exist."""
    close = suggest(key, list(settings(arguments, conf)))
    hint = f" Did you mean {close}?" if close else " python -m trainer --cfg job lists them."
    return f"{key}: there is no such setting.{hint}"


def settings(arguments: list[str], conf: Path) -> Iterator[str]:
    """All settings of the chosen components by dotted name, and the groups."""
    config = yaml.safe_load((conf / "config.yaml").read_text())
    chosen: dict[str, str] = {}
    for default in config.pop("defaults"):
        if isinstance(default, dict):
            chosen |= {k: v[0] if isinstance(v, list) else v for k, v in default.items()}
    chosen |= dict(argument.lstrip("+~").split("=", 1) for argument in arguments if "=" in argument)
    config.pop("hydra")
    yield from flat(config, "")
    for group in GROUPS:
        yield group
        path = conf / group / f"{chosen[group]}.yaml"
        if path.is_file():
            yield from flat(yaml.safe_load(path.read_text()) or {}, f"{group}.")


def flat(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Dotted names of all keys."""
    for key, value in node.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")


def suggest(word: str, known: list[str]) -> str | None:
    """The nearest spelling: of the whole name, or of its last part alone (`lr` → optimizer.lr)."""

    def likeness(name: str) -> float:
        whole = SequenceMatcher(None, word, name).ratio()
        last = SequenceMatcher(None, word.rsplit(".", 1)[-1], name.rsplit(".", 1)[-1]).ratio()
        return max(whole, 0.95 * last)

    best = max(known, key=likeness, default=None)
    return best if best is not None and likeness(best) >= CLOSE else None
