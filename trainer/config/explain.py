"""An error as one line: what was typed, what is wrong with it, what to type instead."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
    ValidationError,
)

from trainer.config.build import describe, shown
from trainer.config.overrides import CHOOSABLE, CommandLine
from trainer.config.schema import GROUPS, kind_of, settings_of
from trainer.config.suggest import beside, suggest
from trainer.core.errors import TrainerError

UNKNOWN = r"Could not (?:override|delete from config\.) '([^']+)'"
NOT_IN_NODE = r"(?s)Key '[^']+' (?:is )?not in .*?full_key: (\S+)"
SEVERAL = r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: |\n|$)"
THERE = r"already at '(.+?)'|(?m:^(\S+) appears more than once)|groups.*'\+\+(.+)="
IN_FILE = r"(?s)In '(\S+)': \w+ raised while composing config:\n(.*?)\n *full_key: *(\S*)"
NO_NAME = r"null|true|false|[\d.e-]*"


def explain(error: BaseException, arguments: Iterable[str], conf: Path) -> str:
    """One line for an error that a command line led to."""
    return " ".join(reason(error, CommandLine(list(arguments), conf)).split())


def reason(error: BaseException, command: CommandLine) -> str:
    """What an error says, by its kind."""
    if isinstance(error, TrainerError):
        return as_typed(str(error), command)
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, command)
    if isinstance(error, MissingConfigException):
        return missing_option(error, command)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{mark.name}:{mark.line + 1}" if mark else "a config file"
        return f"{where}: {error.problem}"
    if isinstance(error, RecursionError):
        return "a config file is nested too deeply"
    if isinstance(error, OmegaConfBaseException):
        return wrong_value(error, command)
    if isinstance(error, UnicodeDecodeError):
        return f"a config file is not UTF-8 text: {error}"
    if isinstance(error, (HydraException, ValueError)):
        return composition(error, command)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; hydra.run.dir=... gives another run folder"
    return f"{type(error).__name__}: {first_line(error)}; debug=true shows where"


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def as_typed(text: str, command: CommandLine) -> str:
    """`x must be ..., got -1.0` with the value as it was typed, `-1`; `x: ...` as `x=-1: ...`."""
    key = re.match(r"[\w.]+", text)
    value = command.typed.get(key[0], "") if key else ""
    if key is None or not value or "${" in value:
        return text
    if text.startswith(f"{key[0]}: "):
        return f"{key[0]}={value}{text[key.end() :]}"
    got = r"(?s)( must .*, got )(.*?)(\. Did you mean .*)?$"
    return re.sub(got, lambda match: f"{match[1]}{value}{match[3] or ''}", text)


def composition(error: BaseException, command: CommandLine) -> str:
    """An error of putting the config together."""
    text = str(error)
    if match := re.search(UNKNOWN, text):
        return unknown(match[1], command)
    if match := re.search(NOT_IN_NODE, text):
        return unknown_in_file(match[1], text, command)
    if isinstance(error.__cause__, OmegaConfBaseException):
        return wrong_value(error.__cause__, command)
    if match := re.search(SEVERAL, text):
        return f"{match[1]}: to run each of several values, add -m; a list is written [a,b]"
    if match := re.search(THERE, text):
        key = next(filter(None, match.groups()))
        return f"+{command.said(key)}: {key} is there already; leave the + out"
    if match := re.search(IN_FILE, text):
        return f"{match[1]}.yaml: {wrong_in_file(match[3], match[2])}"
    return no_option(error, command)


def unreadable(override: str, command: CommandLine) -> str:
    """An argument that is not `setting=value`."""
    key, equals, value = override.partition("=")
    if not equals:
        return bare_word(override, command)
    pairs = ("[]", "{}", "()")
    if any(value.count(a) != value.count(b) for a, b in pairs) or value.count("'") % 2:
        return f"{override}: a bracket or a quote is not closed"
    quoted = value.replace('"', '\\"')
    return f"{override}: special characters need quotes: '{key}=\"{quoted}\"'"


def bare_word(word: str, command: CommandLine) -> str:
    """A word without an equals sign: an option, or a setting."""
    groups = [group for group in CHOOSABLE if (command.conf / group / f"{word}.yaml").is_file()]
    settings = suggest(word, command.current[0])
    whole = f"{groups[0]}={word}" if groups else f"{settings[0] if settings else word}=VALUE"
    return f"{word}: settings are written setting=value. Did you mean {whole}?"


def missing_option(error: MissingConfigException, command: CommandLine) -> str:
    """A group's option that does not exist."""
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group:
        return first_line(error)
    options = error.options or command.options(group)
    if not options:
        return f"{group}={option}: there is no such option; {group} has none here"
    close = suggest(option, options)
    hint = f" Did you mean {group}={close[0]}?" if close else ""
    return f"{group}={option}: there is no such option.{hint} Options: {', '.join(options)}"


def no_option(error: BaseException, command: CommandLine) -> str:
    """A group that is given a number or null; what else Hydra says stays as it is."""
    if "Config group override must be a string" not in str(error):
        return first_line(error)
    for group in CHOOSABLE:
        if re.fullmatch(NO_NAME, command.typed.get(group, "-x")):
            return f"{command.said(group)}: name an option: {', '.join(command.options(group))}"
    return "settings are written setting=value, and a group takes the name of an option"


def wrong_value(error: OmegaConfBaseException, command: CommandLine) -> str:
    """A value of the wrong type, one that is missing, one that refers to nothing."""
    key = str(error.full_key or error.key or "the config")
    if isinstance(error, MissingMandatoryValue):
        return f"{key} must be given"
    if isinstance(error, (InterpolationResolutionError, UnsupportedInterpolationType)):
        return f"{command.said(key)}: {unresolved(error)}"
    kind = kind_of(key)
    if not isinstance(error, ValidationError) or kind is None:
        return f"{command.said(key)}: {first_line(error)}"
    if parts := settings_of(kind):
        return (
            f"{command.said(key)}: it is set by its parts {', '.join(parts)}, as {key}.{parts[0]}"
        )
    value = command.typed.get(key, shown(error.value)) or "nothing"
    return f"{key} must be {describe(kind)}, got {value}"


def wrong_in_file(key: str, text: str) -> str:
    """A value of the wrong type in a config file."""
    kind, value = kind_of(key), re.search(r"[Vv]alue:? '?(.*?)'?(?: of type| is not|$)", text)
    if kind is None or settings_of(kind) or value is None:
        return f"{key and key + ': '}{text}"
    return f"{key} must be {describe(kind)}, got {value[1]}"


def unresolved(error: OmegaConfBaseException) -> str:
    """A reference `${...}` that leads nowhere."""
    text = re.sub(r"^\w+ raised while resolving interpolation: ", "", first_line(error))
    match = re.search(r"Interpolation key '(.+?)' not found", text)
    if match and isinstance(error, InterpolationKeyError):
        return f"there is no setting {match[1]} to refer to"
    return text.strip('"')


def unknown(key: str, command: CommandLine) -> str:
    """A setting that does not exist: it is misspelt, or belongs to another option of its group."""
    known, choices = command.current
    group = key.partition(".")[0]
    others = command.owners(group)
    close = [] if key in others else beside(key, known)
    other = key if key in others else (beside(key, list(others)) or [""])[0]
    if other and not close:
        has = f"{other} belongs to {group}={', '.join(others[other])}"
        chosen = f"{group}={choices[group]}" if choices.get(group) else f"the chosen {group}"
        return f"{command.said(key)}: {chosen} has no such setting; {has}"
    meant = close or suggest(key, known)
    belongs = {} if meant else command.elsewhere(key)
    value = f"={command.typed[key]}" if key in command.typed else ""
    ways = [f"{name}{value}" for name in meant]
    ways += [f"{name}{value} with {name.partition('.')[0]}={of[0]}" for name, of in belongs.items()]
    hint = (
        f"Did you mean {' or '.join(ways)}?" if ways else "python -m trainer --cfg job lists all."
    )
    return f"{command.said(key)}: there is no such setting. {hint}"


def unknown_in_file(key: str, text: str, command: CommandLine) -> str:
    """A setting in a config file that does not exist."""
    match = re.search(r"In '([^']+)'", text)
    if match is None:
        return unknown(key, command)
    group = match[1].partition("/")[0]
    if key == group and group not in GROUPS:
        return f"{match[1]}.yaml: the first line must be `# @package _global_`"
    return f"{match[1]}.yaml: {unknown(key, command)}"
