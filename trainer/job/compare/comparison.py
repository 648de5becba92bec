"""All that is found out about groups of runs: final values, at equal cost, cost of a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trainer.compare.base import Interval
from trainer.core.errors import ConfigError, DataError
from trainer.core.metric import Mode, direction
from trainer.core.suggest import did_you_mean
from trainer.job.compare import budgets
from trainer.job.compare.budgets import AXES, Axis, Reached
from trainer.job.compare.groups import Group, baseline_of, group
from trainer.job.compare.numbers import MetricFormat
from trainer.job.compare.runs import FinishedRun, SkippedRun, number
from trainer.job.compare.significance import (
    Correction,
    Difference,
    Summary,
    difference,
    judge,
    summary,
)

NAMES = ("mean_iou", "accuracy", "rmse", "loss")  # the metric, where none is asked for
SPLITS = ("test", "val")
FEWEST = 3  # seeds of a replication

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Row:
    """A group in a table; the baseline has no difference."""

    label: str
    summary: Summary
    difference: Difference | None
    at: float | None = None  # the mean cost at which its values were taken


@dataclass(frozen=True)
class Table:
    """The groups by one measure: the final metric, or that of val at equal cost."""

    metric: str
    rows: list[Row]
    axis: Axis | None = None
    budget: float | None = None
    missing: list[str] = field(default_factory=list)  # groups that have no value there


@dataclass(frozen=True)
class Replica:
    """A group beside a published result."""

    label: str
    value: float  # its difference to the baseline
    passed: bool | None  # None of fewer than three seeds


@dataclass(frozen=True)
class Comparison:
    """Groups of runs, compared with one of them."""

    metric: str
    mode: Mode
    unit: MetricFormat
    interval: Interval
    correction: Correction
    baseline: Group
    groups: list[Group]
    final: Table
    equal: list[Table]
    target: float | None
    reached: list[Reached]
    left: list[SkippedRun]
    published: tuple[float, float] | None = None  # lowest and highest difference that is as good

    @property
    def replicas(self) -> list[Replica]:
        """Each group's difference against what was published; of a lone group its value."""
        if self.published is None:
            return []
        if len(self.groups) == 1:
            found = [(row, row.summary.mean, row.summary.n) for row in self.final.rows]
        else:
            found = [(r, d.mean, d.seeds) for r in self.final.rows if (d := r.difference)]
        low, high = self.published
        return [
            Replica(row.label, value, None if seeds < FEWEST else low <= value <= high)
            for row, value, seeds in found
        ]

    @property
    def curve_metric(self) -> str:
        """The metric in the validation split, which each epoch has."""
        return f"val/{self.metric.partition('/')[2]}"


def compare(
    found: Sequence[FinishedRun | SkippedRun],
    *,
    interval: Interval,
    metric: str | None = None,
    baseline: str | None = None,
    target: float | None = None,
    correction: Correction = "holm",
    ignore: Iterable[str] = (),
    published: tuple[float, float] | None = None,
) -> Comparison:
    """Group, measure and judge. Raises DataError where no run is finished."""
    left = [one for one in found if isinstance(one, SkippedRun)]
    runs = [one for one in found if isinstance(one, FinishedRun)]
    if not runs:
        reasons = "; ".join(f"{one.folder}: {one.reason}" for one in left[:3])
        raise DataError(f"runs: no finished training run among {len(left)}: {reasons}")
    metric = metric_of(runs, metric)
    left += [
        SkippedRun(run.folder, f"has no {metric}") for run in runs if run.final(metric) is None
    ]
    groups, repeated = group([run for run in runs if run.final(metric) is not None], ignore)
    base, name, mode = baseline_of(groups, baseline), metric.partition("/")[2], direction(metric)
    finals = {one.label: finals_of(one, metric) for one in groups}
    goal = budgets.target_of(base, name) if target is None else target
    reached = [] if goal is None else [budgets.reach(one, name, goal, mode) for one in groups]
    return Comparison(
        metric=metric,
        mode=mode,
        unit=MetricFormat.of(metric),
        interval=interval,
        correction=correction,
        baseline=base,
        groups=groups,
        final=Table(metric, rows(finals, base.label, interval, correction)),
        equal=[
            table
            for axis in AXES
            if (table := at_equal(groups, base.label, axis, name, interval, correction))
        ],
        target=goal,
        reached=reached,
        left=left + repeated,
        published=published,
    )


def metric_of(runs: Sequence[FinishedRun], asked: str | None) -> str:
    """The metric to compare by. Raises ConfigError where no run has the one asked for."""
    known = {
        f"{split}/{name}": None
        for run in runs
        for split, values in run.result.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if number(value) is not None
    }
    wanted = [f"{s}/{n}" for s in SPLITS for n in NAMES] if asked is None else [asked]
    for name in wanted:
        if name in known:
            return name
    if asked is None:
        raise DataError("runs: no run has metrics of test or val")
    hint = did_you_mean(asked, list(known)) or f" There are: {', '.join(known)}"
    raise ConfigError(f"job.metric={asked}: no run has it.{hint}")


def finals_of(of: Group, metric: str) -> Values:
    """The final metric of a group by seed."""
    found = {run.seed: run.final(metric) for run in of.runs}
    return {seed: value for seed, value in found.items() if value is not None}


def rows(
    values: Mapping[str, Values],
    base: str,
    interval: Interval,
    correction: Correction,
    at: Mapping[str, float] | None = None,
) -> list[Row]:
    """A row for each group that has values; differences where the baseline has some, too."""
    others = [label for label in values if label != base and base in values]
    found = [difference(values[label], values[base], interval) for label in others]
    judged = dict(zip(others, judge(found, correction, interval), strict=True))
    return [
        Row(label, summary(one, interval), judged.get(label), at.get(label) if at else None)
        for label, one in values.items()
    ]


def at_equal(
    groups: Sequence[Group],
    base: str,
    axis: Axis,
    name: str,
    interval: Interval,
    correction: Correction,
) -> Table | None:
    """The table of val at the least final cost; None where a run does not tell its cost."""
    limit = budgets.budget(groups, axis, name)
    if limit is None:
        return None
    points = {one.label: budgets.within_budget(one, axis, name, limit) for one in groups}
    values = {k: {seed: y for seed, (_, y) in p.items()} for k, p in points.items() if p}
    at = {label: sum(x for x, _ in p.values()) / len(p) for label, p in points.items() if p}
    missing = [label for label, held in points.items() if not held]
    made = rows(values, base, interval, correction, at)
    return Table(f"val/{name}", made, axis, limit, missing)
