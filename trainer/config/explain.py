"""Explains an error in one line: what was typed, what is wrong with it, what to type instead."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import errors
from yaml import MarkedYAMLError

from trainer.config.build import describe, format_value
from trainer.config.libraries import networks
from trainer.config.overrides import CHOOSABLE, CommandLine
from trainer.config.schema import GROUPS, annotation_of, settings_of
from trainer.core.errors import ConfigError, TrainerError
from trainer.core.suggest import suggest


class Mistake(NamedTuple):
    """An error, the command line that led to it, and the parts of it that a message quotes."""

    error: Any
    command: CommandLine
    groups: list[str]  # matched by the pattern of the row in TABLE
    key: str  # the setting at fault
    typed: str  # `key=value` if it was typed, otherwise the key
    text: str  # first line of the error


def explain(error: BaseException, arguments: Iterable[str], conf: Path) -> str:
    """Return one line that explains an error; `arguments` is the command line that led to it."""
    command, cause = CommandLine(list(arguments), conf), error.__cause__
    chain = [error, cause] if isinstance(cause, errors.OmegaConfBaseException) else [error]
    for types, pattern, line in TABLE:
        for one in chain:
            match = re.search(pattern, str(one)) if isinstance(one, types) else None
            mistake = match and describe_mistake(one, command, match)
            if mistake and (text := line(mistake) if callable(line) else line.format(mistake)):
                return " ".join(text.split())
    raise AssertionError("the last row of TABLE takes every error")


def describe_mistake(error: BaseException, command: CommandLine, match: re.Match[str]) -> Mistake:
    """Find the setting at fault: OmegaConf's error names it, otherwise the pattern's match does."""
    groups = [group for group in match.groups() if group is not None]
    key = str(getattr(error, "full_key", None) or "".join(groups[:1]) or "the config")
    text = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return Mistake(error, command, groups, key, command.as_typed(key), text)


def own_error(mistake: Mistake) -> str:
    """Quote the value as it was typed: `got -1` for `got -1.0`, `x=-1: ...` for `x: ...`."""
    text, command = str(mistake.error), mistake.command
    value = command.typed.get(mistake.key, "")
    if not value or "${" in value:
        return text
    if text.startswith(f"{mistake.key}: "):
        return f"{mistake.key}={value}{text[len(mistake.key) :]}"
    got = r"(?s)( must .*, got )(.*?)(\. Did you mean .*)?$"
    return re.sub(got, lambda match: f"{match[1]}{value}{match[3] or ''}", text)


def unknown_flag(mistake: Mistake) -> str:
    """Explain a flag that Hydra does not know."""
    flag = mistake.groups[0]
    name, equals, value = flag.lstrip("-").partition("=")
    close = [] if equals else suggest(flag, get_args_parser()._option_string_actions, least=0.75)
    setting = f"{name.replace('-', '_')}={value or 'VALUE'}"
    hint = f"Did you mean {close[0]}?" if close else f"A setting has no dashes: {setting}"
    return f"{flag}: there is no such flag. {hint}"


def unreadable(mistake: Mistake) -> str:
    """Explain an argument that cannot be parsed as `setting=value`."""
    override = mistake.error.override
    key, equals, value = override.partition("=")
    if not equals:
        return bare_word(override, mistake.command)
    pairs = ("[]", "{}", "()")
    if any(value.count(a) != value.count(b) for a, b in pairs) or value.count("'") % 2:
        return f"{override}: a bracket or a quote is not closed"
    quoted = value.replace('"', '\\"')
    return f"{override}: special characters need quotes: '{key}=\"{quoted}\"'"


def bare_word(word: str, command: CommandLine) -> str:
    """Explain a word without an equals sign, probably an option or a setting."""
    groups = [group for group in CHOOSABLE if (command.conf / group / f"{word}.yaml").is_file()]
    setting = next(iter(suggest(word, command.current[0])), "")
    whole = f"{groups[0]}={word}" if groups else setting and f"{setting}=VALUE"
    spaced = with_spaces(word, command.arguments)
    if spaced and (not whole or Path(spaced.partition("=")[2]).exists()):
        setting, _, value = spaced.partition("=")
        return f"{word}: a value with a space needs quotes: '{setting}=\"{value}\"'"
    hint = f"Did you mean {whole}?" if whole else LIST_ALL
    return f"{word}: settings are written setting=value. {hint}"


def with_spaces(word: str, arguments: Sequence[str]) -> str:
    """The setting before a word, joined with all the words that follow it; empty if none does."""
    at = list(arguments).index(word) if word in arguments else 0
    if at == 0 or "=" not in arguments[at - 1]:
        return ""
    return " ".join([arguments[at - 1], *takewhile(lambda a: "=" not in a, arguments[at:])])


def missing_option(mistake: Mistake) -> str:
    """Explain that a group has no such option; empty if another file is missing."""
    group, _, option = (mistake.error.missing_cfg_file or "").rpartition("/")
    if not group:
        return ""
    options = mistake.error.options or mistake.command.loader.get_group_options(group)
    if not options:
        return f"{group}={option}: there is no such option; {group} has none here"
    known = {name: f"{group}={name}" for name in options}
    if group == "model":
        known = {n: f"model={lib} model.name={n}" for n, lib in networks().items()} | known
    close = [option] if option in known else suggest(option, known)
    hint = f" Did you mean {known[close[0]]}?" if close else ""
    return f"{group}={option}: there is no such option.{hint} Options: {', '.join(options)}"


def no_option(mistake: Mistake) -> str:
    """Explain that a group takes the name of an option, not a number or null."""
    command = mistake.command
    for group in CHOOSABLE:
        if re.fullmatch(r"null|true|false|[\d.e-]*", command.typed.get(group, "-x")):
            options = ", ".join(command.loader.get_group_options(group))
            return f"{command.as_typed(group)}: name an option: {options}"
    return "settings are written setting=value, and a group takes the name of an option"


def wrong_type(mistake: Mistake) -> str:
    """Explain a value of the wrong type; empty if the schema names no type for the setting."""
    key, annotation = mistake.key, annotation_of(mistake.key)
    if parts := settings_of(annotation):
        example = f"set {' or '.join(parts)}, for example {key}.{parts[0]}"
        return f"{mistake.typed}: {key} is a group of settings; {example}"
    value = mistake.command.typed.get(key, format_value(mistake.error.value)) or "nothing"
    return f"{key} must be {describe(annotation)}, got {value}" if annotation else ""


def wrong_type_in_file(mistake: Mistake) -> str:
    """Explain a value of the wrong type in a config file."""
    file, text, key = mistake.groups
    annotation, value = (
        annotation_of(key),
        re.search(r"[Vv]alue:? '?(.*?)'?(?: of type| is not|$)", text),
    )
    if annotation is None or settings_of(annotation) or value is None:
        return f"{file}.yaml: {key and key + ': '}{text}"
    return f"{file}.yaml: {key} must be {describe(annotation)}, got {value[1]}"


def unknown(mistake: Mistake) -> str:
    """Explain an unknown setting: misspelt, or a setting of another option of its group."""
    key, typed = mistake.key, mistake.typed
    known, choices = mistake.command.current
    owners = mistake.command.owners
    group, value = key.partition(".")[0], typed.removeprefix(key)
    close = [] if key in owners else suggest(key, known, siblings=True)
    owned = [key] if key in owners else suggest(key, owners, siblings=True)
    if owned and not close:
        chosen = f"{group}={choices[group]}" if choices.get(group) else f"the chosen {group}"
        belongs = f"{owned[0]} belongs to {group}={', '.join(owners[owned[0]])}"
        return f"{typed}: {chosen} has no such setting; {belongs}"
    ways = [f"{name}{value}" for name in close or suggest(key, known)] or [
        f"{name}{value} with {name.partition('.')[0]}={options[0]}"
        for name, options in owners.items()
        if name.rpartition(".")[2] == key
    ]
    hint = f"Did you mean {' or '.join(ways)}?" if ways else LIST_ALL
    return f"{typed}: there is no such setting. {hint}"


def unknown_in_file(mistake: Mistake) -> str:
    """Explain an unknown setting in a config file."""
    match = re.search(r"In '([^']+)'", str(mistake.error))
    if match is None:
        return unknown(mistake)
    group = match[1].partition("/")[0]
    if mistake.key == group and group not in GROUPS:
        return f"{match[1]}.yaml: the first line must be `# @package _global_`"
    return f"{match[1]}.yaml: {unknown(mistake)}"


def place_in_file(mistake: Mistake) -> str:
    """Say where and why a YAML file cannot be parsed."""
    mark = mistake.error.problem_mark
    where = f"{mark.name}:{mark.line + 1}" if mark else "a config file"
    return f"{where}: {mistake.error.problem}"


LIST_ALL = "python -m trainer --cfg job lists all."
COMPOSITION = (HydraException, ValueError)
THERE = r"already at '(.+?)'|(?m:^(\S+) appears more than once)|groups.*'\+\+(.+)="
IN_FILE = r"(?s)In '(\S+)': \w+ raised while composing config:\n(.*?)\n *full_key: *(\S*)"
SEVERAL = r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'(?: |\n|$)"
RESOLVING = r"(?m)^(?:\w+ raised while resolving interpolation: )?\"?(.*?)\"?$"

# The first row whose types and pattern match an error, and whose line is not empty, explains it.
TABLE: tuple[tuple[Any, str, str | Callable[[Mistake], str]], ...] = (
    (ConfigError, r"^unrecognized arguments: (\S+)", unknown_flag),
    (ConfigError, r"^argument (-.*)", "{0.groups[0]}"),
    (TrainerError, r"^([\w.]*)", own_error),
    (OverrideParseException, "", unreadable),
    (MissingConfigException, "", missing_option),
    (MissingConfigException, "", "{0.text}"),
    (MarkedYAMLError, "", place_in_file),
    (RecursionError, "", "a config file is nested too deeply"),
    (UnicodeDecodeError, "", "a config file is not UTF-8 text: {0.text}"),
    (COMPOSITION, r"Could not (?:override|delete from config\.) '([^']+)'", unknown),
    (COMPOSITION, r"(?s)Key '[^']+' (?:is )?not in .*?full_key: (\S+)", unknown_in_file),
    (errors.MissingMandatoryValue, "", "{0.key} must be given"),
    (
        errors.InterpolationKeyError,
        "Interpolation key '(.+?)' not found",
        "{0.typed}: there is no setting {0.groups[0]} to refer to",
    ),
    (errors.InterpolationResolutionError, RESOLVING, "{0.typed}: {0.groups[0]}"),
    (errors.UnsupportedInterpolationType, "", "{0.typed}: {0.text}"),
    (errors.ValidationError, "", wrong_type),
    (errors.OmegaConfBaseException, "", "{0.typed}: {0.text}"),
    (COMPOSITION, SEVERAL, "{0.key}: to run each of several values, add -m; write a list as [a,b]"),
    (COMPOSITION, THERE, "+{0.typed}: {0.key} already exists; remove the +"),
    (COMPOSITION, IN_FILE, wrong_type_in_file),
    (COMPOSITION, "Config group override must be a string", no_option),
    (COMPOSITION, "", "{0.text}"),
    (
        OSError,
        r"\[Errno \d+\] .*: ",
        "{0.error.filename}: {0.error.strerror}; hydra.run.dir=... names another run folder",
    ),
    (BaseException, "", "{0.error.__class__.__name__}: {0.text}; debug=true shows where"),
)
