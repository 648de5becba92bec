"""Whom a strategy hurts: its worst class and group of images, and the change of each of them.

A class's value is its recall, the accuracy on its images; with several labels an image its average
precision. A group's is its accuracy or exact match. Both are of the split that the comparison's
metric is of. Only classes and groups that all runs of a strategy have are looked at; of more than
100 groups `result.json` lists the worst alone, and `groups.csv` has all.

The worst class is the one with the lowest mean over the seeds. The lowest of several noisy means
is on average below the lowest true mean, E min m̂ ≤ min E m̂, by the more, the noisier they are and
the more of them there are; the interval shown is that class's own and leaves the choice out of
account. The changes have no such bias: each is tested as the metric itself is, paired by seed, with
p corrected for the number of strategies times classes.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from trainer.compare.base import Interval
from trainer.core.errors import CheckpointError
from trainer.core.number import finite
from trainer.job.compare.groups import Group
from trainer.job.compare.runs import FinishedRun
from trainer.job.compare.significance import (
    Correction,
    Difference,
    Summary,
    decide,
    difference,
    summarise,
)
from trainer.job.shared.by_group import LISTED
from trainer.report.csv_file import escape_formula
from trainer.storage.untrusted import read_text

Kind = Literal["class", "group"]
Entries = Mapping[str, Mapping[str, object]]  # measures by class or group
Known = dict[str, tuple[float, int]]  # value and examples by class or group

MEASURES = {  # of a class or group: the metric of the whole split
    "average_precision": "mAP",
    "recall": "accuracy",
    "accuracy": "accuracy",
    "exact_match": "exact_match",
}
KINDS: dict[Kind, tuple[str, ...]] = {  # the measures, the first that there is
    "class": ("average_precision", "recall"),
    "group": ("accuracy", "exact_match"),
}
EXAMPLES = {"class": "support", "group": "examples"}
MAX_BYTES = 2**25  # of groups.csv


@dataclass(frozen=True)
class Part:
    """A class, or a group of images, under one strategy."""

    label: str  # of the strategy
    name: str
    examples: int  # the fewest of any run
    summary: Summary
    difference: Difference | None = None  # from the baseline, where both have it


@dataclass(frozen=True)
class Breakdown:
    """All classes, or all groups of images, of each strategy."""

    kind: Kind
    split: str
    measure: str
    means: dict[str, Summary | None]  # of the whole split by strategy
    parts: dict[str, list[Part]]  # by strategy

    def worst(self, label: str) -> Part | None:
        """The class or group with the lowest mean; None for a strategy without records."""
        return min(self.parts[label], key=lambda part: part.summary.mean, default=None)

    @property
    def changes(self) -> list[tuple[Part, Difference]]:
        """All differences from the baseline: those beyond noise first, then the largest."""
        pairs = [(p, p.difference) for own in self.parts.values() for p in own if p.difference]
        return sorted(pairs, key=lambda pair: (not pair[1].beyond_noise, -abs(pair[1].mean)))

    @property
    def worse(self) -> list[tuple[Part, Difference]]:
        """Those worse than in the baseline, beyond noise, the largest drop first."""
        return [(p, d) for p, d in self.changes if d.beyond_noise and d.mean < 0]


def breakdowns(
    groups: Sequence[Group],
    baseline: Group,
    metric: str,
    interval: Interval,
    correction: Correction,
) -> list[Breakdown]:
    """The split of `metric` by class and by group of images, where runs have records of them."""
    split = metric.partition("/")[0]
    found = (breakdown(kind, split, groups, interval) for kind in KINDS)
    return [compared(one, baseline.label, interval, correction) for one in found if one is not None]


def breakdown(
    kind: Kind, split: str, groups: Sequence[Group], interval: Interval
) -> Breakdown | None:
    """The parts of each strategy, without differences; None if there are none."""
    read = READERS[kind]
    entries = {g.label: {run.seed: read(run, split) for run in g.runs} for g in groups}
    measures = {name for runs in entries.values() for own in runs.values() for name in names(own)}
    measure = next((name for name in KINDS[kind] if name in measures), None)
    if measure is None:
        return None
    parts = {}
    for label, runs in entries.items():
        seeds = {seed: known(own, measure, EXAMPLES[kind]) for seed, own in runs.items()}
        parts[label] = list(parts_of(label, seeds, interval))
    if not any(parts.values()):
        return None
    whole = f"{split}/{MEASURES[measure]}"
    means = {group.label: summary(group, whole, interval) for group in groups}
    return Breakdown(kind, split, measure, means, parts)


def summary(group: Group, metric: str, interval: Interval) -> Summary | None:
    """Summarise a final metric of the runs that have it; None if none has."""
    values = {run.seed: value for run in group.runs if (value := run.final(metric)) is not None}
    return summarise(values, interval) if values else None


def compared(
    found: Breakdown, baseline: str, interval: Interval, correction: Correction
) -> Breakdown:
    """The same with each part's difference from the baseline, tested together."""
    base = {part.name: part.summary.values for part in found.parts[baseline]}
    others = [
        part
        for label, own in found.parts.items()
        for part in own
        if label != baseline and part.name in base
    ]
    tests = [difference(part.summary.values, base[part.name], interval) for part in others]
    keys = [(part.label, part.name) for part in others]
    judged = dict(zip(keys, decide(tests, correction, interval), strict=True))
    parts = {
        label: [replace(part, difference=judged.get((label, part.name))) for part in own]
        for label, own in found.parts.items()
    }
    return replace(found, parts=parts)


def parts_of(label: str, seeds: Mapping[int, Known], interval: Interval) -> Iterator[Part]:
    """The parts that all runs have; runs without any are left out."""
    runs = {seed: own for seed, own in seeds.items() if own}
    for name in next(iter(runs.values()), {}):
        if all(name in own for own in runs.values()):
            values = {seed: own[name][0] for seed, own in runs.items()}
            examples = min(own[name][1] for own in runs.values())
            yield Part(label, name, examples, summarise(values, interval))


def known(entries: Entries, measure: str, examples: str) -> Known:
    """The parts whose measure is a share; a class without examples has none."""
    found = {name: (finite(own.get(measure)), own.get(examples)) for name, own in entries.items()}
    return {
        name: (value, number if isinstance(number, int) else 0)
        for name, (value, number) in found.items()
        if value is not None and 0 <= value <= 1
    }


def names(entries: Entries) -> Iterator[str]:
    """The measures of the first part, which all have."""
    yield from next(iter(entries.values()), {})


def classes_of(run: FinishedRun, split: str) -> Entries:
    """The measures of each class of a split as result.json has them."""
    return mappings(mapping(mapping(run.result.get("report")).get(split)).get("classes"))


def groups_of(run: FinishedRun, split: str) -> Entries:
    """The measures of each group of a split: of result.json, or of groups.csv where it has more."""
    listed = mappings(mapping(run.result.get("groups")).get(split))
    if len(listed) < LISTED:
        return listed
    try:
        text = read_text(run.folder / "groups.csv", MAX_BYTES)
        return {
            unescaped(row["group"]): {
                "examples": int(row["examples"]),
                **{name: float(row[name]) for name in KINDS["group"] if name in row},
            }
            for row in csv.DictReader(io.StringIO(text, newline=""))
            if row["split"] == split
        }
    except (CheckpointError, csv.Error, KeyError, TypeError, ValueError):
        return {}  # the worst of each run alone would be another choice of groups in each


READERS: dict[Kind, Callable[[FinishedRun, str], Entries]] = {
    "class": classes_of,
    "group": groups_of,
}


def unescaped(cell: str) -> str:
    """A cell of a CSV without the apostrophe that keeps a spreadsheet from evaluating it."""
    return cell[1:] if cell[:1] == "'" and escape_formula(cell[1:]) == cell else cell


def mapping(value: object) -> Mapping[str, object]:
    """A mapping, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> Entries:
    """The entries of a mapping that are mappings themselves."""
    return {name: own for name, own in mapping(value).items() if isinstance(own, dict)}
