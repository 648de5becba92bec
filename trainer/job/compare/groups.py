"""Runs that differ in nothing but their seed, and what the groups of them differ in.

A group is named as on the command line, by the settings that differ between the runs: the options
of the config groups, and of an option's settings those that differ among the runs that have it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.core.errors import ConfigError
from trainer.core.suggest import did_you_mean
from trainer.job.compare.runs import FinishedRun, SkippedRun, option
from trainer.training.reporter import NOT_CHOSEN

PLAIN = ("none", "[none]", "null", "default", "false", "constant")  # values of a baseline
OTHER_RUNS = ("distill.teacher", "finetune.source", "mining.reference")  # settings that name some
LONGEST = 200  # characters of a value in a name

Settings = dict[str, str]
Varied = dict[str, tuple[str | None, set[str | None]]]  # a setting: the one above, its values


@dataclass(frozen=True)
class Group:
    """Runs of the same settings."""

    label: str  # `mining=ohem mining.keep=0.25`
    choices: Settings  # what it is named by
    settings: Settings  # all
    runs: tuple[FinishedRun, ...]  # by seed

    @property
    def seeds(self) -> list[int]:
        """The seeds of its runs."""
        return [run.seed for run in self.runs]


def group(
    runs: Sequence[FinishedRun], ignore: Iterable[str] = ()
) -> tuple[list[Group], list[SkippedRun]]:
    """The groups in the order of the runs, and runs that repeat a seed of their group.

    A seed run twice gives the same numbers twice and would halve the deviation: the first counts.
    """
    left_out = {"seed", *NOT_CHOSEN, *ignore}
    settings = seedless([dict(flat(run.config, left_out)) for run in runs], runs)
    keys = relevant(settings)
    held: dict[tuple[str | None, ...], dict[int, FinishedRun]] = {}
    first: dict[tuple[str | None, ...], Settings] = {}
    repeated = []
    for run, own in zip(runs, settings, strict=True):
        identity = tuple(own.get(key) for key in keys)
        first.setdefault(identity, own)
        seeds = held.setdefault(identity, {})
        if run.seed in seeds:
            repeated.append(
                SkippedRun(run.folder, f"repeats {seeds[run.seed].folder}: seed {run.seed}")
            )
        else:
            seeds[run.seed] = run
    groups = [
        named(keys, first[identity], tuple(seeds[seed] for seed in sorted(seeds)))
        for identity, seeds in held.items()
    ]
    return groups, repeated


def seedless(settings: Sequence[Settings], runs: Sequence[FinishedRun]) -> list[Settings]:
    """The settings with `${seed}` in the names of other runs, where there is one for each seed.

    Only where that makes fewer values of a setting: a folder may have the number by chance.
    """
    made = [dict(own) for own in settings]
    for key in OTHER_RUNS:
        held = [own.get(key, "") for own in settings]
        pairs = zip(held, runs, strict=True)
        general = [re.sub(rf"(?<!\d){run.seed}(?!\d)", "${seed}", name) for name, run in pairs]
        if len(set(general)) < len(set(held)):
            for own, name in zip(made, general, strict=True):
                if key in own:
                    own[key] = name
    return made


def named(keys: Varied, own: Settings, runs: tuple[FinishedRun, ...]) -> Group:
    """The group of runs with some settings."""
    choices = {
        key: own.get(key, "null")
        for key, (above, among) in keys.items()
        if (own.get(above) if above else None) in among
    }
    label = " ".join(f"{key}={value}" for key, value in choices.items())
    return Group(label or "all runs", choices, own, runs)


def relevant(settings: Sequence[Settings]) -> Varied:
    """The settings that differ among runs with the same component above them."""
    keys = dict.fromkeys(key for own in settings for key in own)
    found: Varied = {}
    for key in keys:
        above = parent(key, keys)
        values: dict[str | None, set[str | None]] = {}
        for own in settings:
            values.setdefault(own.get(above) if above else None, set()).add(own.get(key))
        among = {value for value, held in values.items() if len(held) > 1}
        if among:
            found[key] = above, among
    return found


def parent(key: str, keys: Mapping[str, None]) -> str | None:
    """The component that a setting is of: `mining` of `mining.keep`."""
    parts = key.split(".")
    above = (".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1))
    return next((name for name in above if name in keys), None)


def flat(config: Mapping[str, Any], left_out: set[str]) -> Iterator[tuple[str, str]]:
    """Settings by dotted name as text; a component by its option, several by a list of names."""
    for name, value in config.items():
        if str(name) not in left_out:
            yield from flat_node(str(name), value, left_out)


def flat_node(name: str, value: Any, left_out: set[str]) -> Iterator[tuple[str, str]]:
    """One setting, and what is in it; null is as if it were not there."""
    if not isinstance(value, Mapping):
        if value is not None:
            yield name, text(value)
        return
    if "_target_" in value:
        yield name, option(value["_target_"])
    elif value and all(isinstance(v, Mapping) and "_target_" in v for v in value.values()):
        yield name, text(list(value))
    for key, inner in value.items():
        if key != "_target_" and f"{name}.{key}" not in left_out:
            yield from flat_node(f"{name}.{key}", inner, left_out)


def text(value: Any) -> str:
    """A value as it is typed, in one line."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(text, value))}]"
    plain = (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )
    return "".join(c if c.isprintable() else "?" for c in plain)[:LONGEST]


def baseline_of(groups: Sequence[Group], asked: str | None) -> Group:
    """The group that the others are compared with.

    None takes the one with the most options that are none or null, and of several the first.
    Raises ConfigError where what is asked for names none, or several.
    """
    if asked is None:
        return max(groups, key=lambda one: sum(v in PLAIN for v in one.choices.values()))
    exact = [one for one in groups if one.label == asked]
    found = exact or [one for one in groups if all(fits(one, word) for word in asked.split())]
    if len(found) == 1:
        return found[0]
    labels = [one.label for one in found or groups]
    if found:
        raise ConfigError(f"job.baseline={asked} is {len(found)} groups: {'; '.join(labels)}")
    hint = did_you_mean(asked, labels) or f" There are: {'; '.join(labels)}"
    raise ConfigError(f"job.baseline={asked}: no group is that.{hint}")


def fits(one: Group, word: str) -> bool:
    """Whether a group has a setting, `mining=none`, or is named by an option, `none`."""
    key, equals, value = word.partition("=")
    return one.settings.get(key, "null") == value if equals else key in one.choices.values()
