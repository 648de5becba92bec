"""Groups of runs that differ only in their seed, named by what distinguishes the groups.

A name is written as on the command line. It has the settings that differ between the runs: the
options of the config groups, and those settings of an option that differ among the runs using it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.core.errors import ConfigError
from trainer.core.option import PLAIN, option_name
from trainer.core.suggest import did_you_mean
from trainer.core.text import plain
from trainer.job.compare.runs import FinishedRun, SkippedRun
from trainer.training.reporter import NOT_CHOSEN

OTHER_RUNS = (  # settings that name runs
    "distill.teacher",
    "finetune.source",
    "mining.reference",
    "sampler.reference",
)
LONGEST = 200  # characters of a value in a name; a longer one is cut and given a hash

Settings = dict[str, str]
Varied = dict[str, tuple[str | None, set[str | None]]]  # setting: its component, that one's values


@dataclass(frozen=True)
class Group:
    """Runs with the same settings."""

    label: str  # `mining=ohem mining.keep=0.25`
    choices: Settings  # those in the label
    settings: Settings  # all
    runs: tuple[FinishedRun, ...]  # by seed

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs, in ascending order."""
        return [run.seed for run in self.runs]


def group_runs(
    runs: Sequence[FinishedRun], ignore: Iterable[str] = ()
) -> tuple[list[Group], list[SkippedRun]]:
    """Return the groups in the order of the runs, and the runs that repeat a seed of their group.

    A repeated seed gives the same numbers and would shrink the deviation: only the first counts.
    """
    ignored = {"seed", *NOT_CHOSEN, *ignore}
    settings = generalise_seed([dict(dotted(run.config, ignored)) for run in runs], runs)
    varied = without_hashes(varied_settings(settings), settings)
    by_identity: dict[tuple[str | None, ...], dict[int, FinishedRun]] = {}
    first: dict[tuple[str | None, ...], Settings] = {}
    repeated = []
    for run, own in zip(runs, settings, strict=True):
        identity = tuple(own.get(key) for key in varied)
        first.setdefault(identity, own)
        by_seed = by_identity.setdefault(identity, {})
        if run.seed in by_seed:
            reason = f"repeats seed {run.seed} of {by_seed[run.seed].folder}"
            repeated.append(SkippedRun(run.folder, reason))
        else:
            by_seed[run.seed] = run
    groups = [
        name_group(varied, first[identity], tuple(by_seed[seed] for seed in sorted(by_seed)))
        for identity, by_seed in by_identity.items()
    ]
    return groups, repeated


def generalise_seed(settings: Sequence[Settings], runs: Sequence[FinishedRun]) -> list[Settings]:
    """Replace the seed by `${seed}` in the names of other runs, if each seed has its own.

    Done only if it leaves fewer distinct values: a folder may contain the number by chance.
    """
    general = [dict(own) for own in settings]
    for key in OTHER_RUNS:
        names = [own.get(key, "") for own in settings]
        pairs = zip(names, runs, strict=True)
        replaced = [re.sub(rf"(?<!\d){run.seed}(?!\d)", "${seed}", name) for name, run in pairs]
        if len(set(replaced)) < len(set(names)):
            for own, name in zip(general, replaced, strict=True):
                if key in own:
                    own[key] = name
    return general


def name_group(varied: Varied, own: Settings, runs: tuple[FinishedRun, ...]) -> Group:
    """Return the group of runs with the settings `own`, labelled by those that vary."""
    choices = {
        key: own.get(key, "null")
        for key, (component, among) in varied.items()
        if (own.get(component) if component else None) in among
    }
    label = " ".join(f"{key}={value}" for key, value in choices.items())
    return Group(label or "all runs", choices, own, runs)


def varied_settings(settings: Sequence[Settings]) -> Varied:
    """Return the settings that differ among runs with the same option of their component."""
    keys = dict.fromkeys(key for own in settings for key in own)
    varied: Varied = {}
    for key in keys:
        component = component_of(key, keys)
        values: dict[str | None, set[str | None]] = {}
        for own in settings:
            values.setdefault(own.get(component) if component else None, set()).add(own.get(key))
        among = {option for option, distinct in values.items() if len(distinct) > 1}
        if among:
            varied[key] = component, among
    return varied


def without_hashes(varied: Varied, settings: Sequence[Settings]) -> Varied:
    """Leave out the hash of a file where the settings that name files tell the contents apart."""
    kept = dict(varied)
    for key in varied:
        name = key.removesuffix("_sha256")
        pairs = {(own.get(name), own.get(key)) for own in settings}
        if name != key and len(pairs) == len({own.get(name) for own in settings}):
            del kept[key]
    return kept


def component_of(key: str, keys: Mapping[str, None]) -> str | None:
    """Return the component of a setting: `mining` for `mining.keep`; None if it has none."""
    parts = key.split(".")
    prefixes = (".".join(parts[:i]) for i in range(len(parts) - 1, 0, -1))
    return next((prefix for prefix in prefixes if prefix in keys), None)


def dotted(config: Mapping[str, Any], ignored: set[str]) -> Iterator[tuple[str, str]]:
    """Yield settings as text by dotted name; a component as its option, several as a list."""
    for name, value in config.items():
        if str(name) not in ignored:
            yield from walk(plain(str(name)), value, ignored)


def walk(name: str, value: Any, ignored: set[str]) -> Iterator[tuple[str, str]]:
    """Yield a setting and those inside it; null counts as absent."""
    if not isinstance(value, Mapping):
        if value is not None:
            yield name, as_typed(value)
        return
    if "_target_" in value:
        yield name, option_name(value["_target_"])
    elif value and all(isinstance(v, Mapping) and "_target_" in v for v in value.values()):
        yield name, as_typed(list(value))
    for key, inner in value.items():
        if key != "_target_" and f"{name}.{key}" not in ignored:
            yield from walk(plain(f"{name}.{key}"), inner, ignored)


def as_typed(value: Any) -> str:
    """Format a value as on the command line, in one line of printable characters."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(as_typed, value))}]"
    text = (
        str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    )
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"
    return plain(text)


def find_baseline(groups: Sequence[Group], baseline: str | None) -> Group:
    """Return the group that `baseline` matches, by default that with the most plain options.

    Plain are options such as none or null; of several such groups the first is returned. Raises
    ConfigError if `baseline` matches no group, or several.
    """
    if baseline is None:
        return max(groups, key=lambda group: sum(v in PLAIN for v in group.choices.values()))
    exact = [group for group in groups if group.label == baseline]
    matching = exact or [g for g in groups if all(matches(g, word) for word in baseline.split())]
    if len(matching) == 1:
        return matching[0]
    labels = [group.label for group in matching or groups]
    if matching:
        listed = "; ".join(labels)
        raise ConfigError(f"job.baseline={baseline} matches {len(matching)} groups: {listed}")
    hint = did_you_mean(baseline, labels) or f" Available: {'; '.join(labels)}"
    raise ConfigError(f"job.baseline={baseline}: no group matches.{hint}")


def matches(group: Group, word: str) -> bool:
    """Whether a group has a setting such as `mining=none`, or an option such as `none`."""
    key, equals, value = word.partition("=")
    return group.settings.get(key, "null") == value if equals else key in group.choices.values()
