"""An error as one line: what was typed, what is wrong with it, what to type instead."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
    ValidationError,
)

from trainer.build import describe, shown
from trainer.errors import TrainerError
from trainer.schema import GROUPS, kind_of, settings_of

CLOSE = 0.6  # similarity above which a spelling is suggested
CHOOSABLE = (*GROUPS, "experiment", "sweep")

# What other programs call a setting, where the spelling alone does not lead to ours.
OTHER_NAMES = {
    "learning_rate": "lr",
    "bs": "batch_size",
    "amp": "precision",
    "fp16": "precision",
    "gpu": "device",
    "criterion": "loss",
    "net": "model",
    "network": "model",
    "arch": "model",
    "data": "dataset",
    "aug": "augmentation",
    "transforms": "augmentation",
    "wd": "weight_decay",
    "l2": "weight_decay",
    "iterations": "steps",
    "grad_clip": "clip",
    "max_norm": "clip",
    "grad_accum": "accumulate",
    "gradient_accumulation_steps": "accumulate",
    "random_state": "seed",
    "max_iter": "steps",
}


def explain(error: BaseException, arguments: Iterable[str], conf: Path) -> str:
    """One line for an error that a command line led to; `arguments` are its overrides."""
    typed = typed_values(arguments)
    return " ".join(reason(error, typed, conf).split())


def typed_values(arguments: Iterable[str]) -> dict[str, str]:
    """The overrides by their keys, without the signs that add and delete."""
    pairs = (argument.partition("=") for argument in arguments if "=" in argument)
    return {key.lstrip("+~"): value for key, _, value in pairs}


def reason(error: BaseException, typed: dict[str, str], conf: Path) -> str:
    """What an error says, by its kind."""
    if isinstance(error, TrainerError):
        return as_typed(str(error), typed)
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, typed, conf)
    if isinstance(error, MissingConfigException):
        return missing_option(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}:{mark.line + 1}" if mark else "a config file"
        return f"{where}: {error.problem}"
    if isinstance(error, RecursionError):
        return "a config file is nested too deeply"
    if isinstance(error, OmegaConfBaseException):
        return wrong_value(error, typed)
    if isinstance(error, (HydraException, ValueError)):
        return composition(error, typed, conf)
    text = first_line(error)
    if isinstance(error, OSError):
        return text
    return f"{type(error).__name__}: {text}; debug=true shows where"


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def as_typed(text: str, typed: dict[str, str]) -> str:
    """`x must be ..., got -1.0` with the value as it was typed, `-1`."""
    match = re.match(r"([\w.]+)( must .*, got )(.*?)(\. Did you mean .*)?$", text, re.DOTALL)
    value = typed.get(match[1], "") if match else ""
    if match is None or not value or "${" in value:
        return text
    return f"{match[1]}{match[2]}{value}{match[4] or ''}"


def with_value(key: str, typed: dict[str, str]) -> str:
    """`key=value` as it was typed, the key alone where it comes from a file."""
    return f"{key}={typed[key]}" if key in typed else key


# Errors of Hydra


def composition(error: BaseException, typed: dict[str, str], conf: Path) -> str:
    """An error of putting the config together."""
    text = str(error)
    match = re.search(r"Could not (?:override|delete from config\.) '([^']+)'", text)
    if match:
        return unknown(match[1], typed, conf)
    match = re.search(r"Key '[^']+' (?:is )?not in .*?full_key: (\S+)", text, re.DOTALL)
    if match:
        return unknown(match[1], typed, conf, where=source_of(text))
    if isinstance(error.__cause__, OmegaConfBaseException):
        return wrong_value(error.__cause__, typed)
    match = re.search(r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: |\n|$)", text)
    if match:
        return f"{match[1]}: to run each of several values, add -m; a list is written [a,b]"
    match = re.search(r"already at '(.+?)'|^(\S+) appears more than once|groups.*'\+\+(.+)=", text)
    if match:
        key = next(filter(None, match.groups()))
        return f"+{with_value(key, typed)}: {key} is there already; leave the + out"
    if "Config group override must be a string" in text:
        return no_option(typed)
    match = re.search(r"'(\S+)': \w+ raised while composing config:\n(.*?)\n", text)
    if match:
        key = re.search(r"full_key: (\S+)", text)
        return f"{match[1]}.yaml: {key[1] + ': ' if key else ''}{match[2]}"
    return first_line(error)


def source_of(text: str) -> str:
    """The config file that an error names."""
    match = re.search(r"In '([^']+)'", text)
    return match[1] if match else ""


def unreadable(override: str, typed: dict[str, str], conf: Path) -> str:
    """An argument that is not `setting=value`."""
    key, equals, value = override.partition("=")
    if not equals:
        return bare_word(override, typed, conf)
    pairs = ("[]", "{}", "()")
    if any(value.count(a) != value.count(b) for a, b in pairs) or value.count("'") % 2:
        return f"{override}: a bracket or a quote is not closed"
    quoted = value.replace('"', '\\"')
    return f"{override}: special characters need quotes: '{key}=\"{quoted}\"'"


def bare_word(word: str, typed: dict[str, str], conf: Path) -> str:
    """A word without an equals sign: an option, or a setting."""
    groups = [group for group in CHOOSABLE if (conf / group / f"{word}.yaml").is_file()]
    close = groups[:1] or suggest(word, list(current(typed)[0]))
    whole = f"{close[0]}={word}" if groups else f"{(close or [word])[0]}=VALUE"
    return f"{word}: settings are written setting=value. Did you mean {whole}?"


def missing_option(error: MissingConfigException) -> str:
    """A group's option that does not exist."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return first_line(error)
    options = error.options or GlobalHydra.instance().config_loader().get_group_options(group)
    if not options:
        return f"{group}={option}: there is no such option; {group} has none here"
    close = suggest(option, options)
    hint = f" Did you mean {group}={close[0]}?" if close else ""
    return f"{group}={option}: there is no such option.{hint} Options: {', '.join(options)}"


def no_option(typed: dict[str, str]) -> str:
    """A group that is given a number or null."""
    for group in CHOOSABLE:
        if group in typed and re.fullmatch(r"null|[\d.e-]*|true|false", typed[group]):
            options = ", ".join(GlobalHydra.instance().config_loader().get_group_options(group))
            return f"{group}={typed[group]}: name an option: {options}"
    return "settings are written setting=value, and a group takes the name of an option"


# Errors of OmegaConf


def wrong_value(error: OmegaConfBaseException, typed: dict[str, str]) -> str:
    """A value of the wrong type, one that is missing, one that refers to nothing."""
    key = str(error.full_key or error.key or "the config")
    if isinstance(error, MissingMandatoryValue):
        return f"{key} must be given"
    if isinstance(error, (InterpolationResolutionError, UnsupportedInterpolationType)):
        return unresolved(error, key, typed)
    kind = kind_of(key)
    value = typed.get(key, shown(error.value))
    if isinstance(error, ValidationError) and kind is not None:
        parts = settings_of(kind)
        if parts:
            return f"{key} is set by its parts, {', '.join(f'{key}.{part}' for part in parts)}"
        return f"{key} must be {describe(kind)}, got {value}"
    text = first_line(error)
    return f"{with_value(key, typed)}: {text}"


def unresolved(error: OmegaConfBaseException, key: str, typed: dict[str, str]) -> str:
    """A reference `${...}` that leads nowhere."""
    text = first_line(error)
    match = re.search(r"Interpolation key '(.+?)' not found", text)
    if match and isinstance(error, InterpolationKeyError):
        text = f"there is no setting {match[1]} to refer to"
    return f"{with_value(key, typed)}: {text}"


# The nearest spelling


def unknown(key: str, typed: dict[str, str], conf: Path, where: str = "") -> str:
    """A setting that does not exist: it is misspelt, or belongs to another option of its group."""
    group = key.partition(".")[0]
    said = f"{where}.yaml: {key}" if where else with_value(key, typed)
    if where and group == where.partition("/")[0] and group not in GROUPS:
        return f"{where}.yaml: the first line must be `# @package _global_`"
    known, choices = current(typed)
    elsewhere = owners(group, conf)
    close = [] if key in elsewhere else beside(key, list(known))
    other = key if key in elsewhere else (beside(key, list(elsewhere)) or [""])[0]
    if other and not close:
        has = f"{other} belongs to {group}={', '.join(elsewhere[other])}"
        return f"{said}: {group}={shown(choices.get(group))} has no such setting; {has}"
    close = close or suggest(key, list(known))
    if close:
        value = f"={typed[key]}" if key in typed else ""
        return f"{said}: there is no such setting. Did you mean {either(close, value)}?"
    return f"{said}: there is no such setting; python -m trainer --cfg job lists all"


def either(names: list[str], value: str) -> str:
    """`a=1 or b=1`."""
    return " or ".join(f"{name}{value}" for name in names)


def current(typed: dict[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """All settings of the chosen components by dotted name, and what is chosen in each group."""
    if not GlobalHydra.instance().is_initialized():
        return {}, {}
    loader = GlobalHydra.instance().config_loader()
    groups = [f"{key}={value}" for key, value in typed.items() if key in CHOOSABLE]
    single = [text if "[" in text else text.split(",")[0] for text in groups]
    for overrides in (single, []):
        try:
            config = loader.load_configuration("config", overrides, RunMode.RUN)
        except Exception:  # noqa: S112  (a second mistake among the choices is told another time)
            continue
        choices = dict(config.hydra.runtime.choices)
        plain = OmegaConf.to_container(config, resolve=False)
        known = dict.fromkeys(CHOOSABLE) | dict(flat(plain, ""))  # pyright: ignore
        return known, choices
    return {}, {}


def owners(group: str, conf: Path) -> dict[str, list[str]]:
    """The settings of all options of a group by dotted name, with the options that have them."""
    found: dict[str, list[str]] = {}
    for path in sorted((conf / group).glob("*.yaml")) if group in GROUPS else ():
        text = path.read_text()
        package = re.search(r"^# @package (\S+)", text, re.MULTILINE)
        prefix = package[1] if package else group
        for name, _ in flat(yaml.safe_load(text) or {}, f"{prefix}."):
            found.setdefault(name, []).append(path.stem)
    return found


def flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Dotted names of all keys, with their values."""
    for key, value in node.items():
        if key in ("_target_", "defaults"):
            continue
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")


def suggest(word: str, known: Sequence[str]) -> list[str]:
    """The nearest spellings of a name: beside it, else of the last part of any name."""
    last = OTHER_NAMES.get(squeezed(word.rpartition(".")[2]), word.rpartition(".")[2])
    names = [name for name in known if word.startswith("hydra") or not name.startswith("hydra")]
    return beside(word, known) or closest(last, names, 0.7 if "." in word else CLOSE)


def beside(word: str, known: Sequence[str]) -> list[str]:
    """The nearest spellings of a dotted name's last part among the names with the same parents."""
    head, _, last = word.rpartition(".")
    last = OTHER_NAMES.get(squeezed(last), last)
    return closest(last, [name for name in known if head and name.startswith(f"{head}.")], CLOSE)


def closest(word: str, names: Sequence[str], least: float) -> list[str]:
    """The names whose last part is most like the word; at most three that are equally like it."""
    likeness = {name: alike(word, name.rpartition(".")[2]) for name in names}
    best = max(likeness.values(), default=0.0)
    if best < least:
        return []
    first = [name for name in names if likeness[name] == best]
    return sorted(first, key=lambda name: name.count("."))[:3]


def alike(word: str, name: str) -> float:
    """Similarity from 0 to 1, whatever the case and the separators."""
    return SequenceMatcher(None, squeezed(word), squeezed(name)).ratio()


def squeezed(word: str) -> str:
    """Lower case with underscores for dashes."""
    return word.lower().replace("-", "_")
