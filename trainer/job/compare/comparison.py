"""Groups of runs against a baseline: final metric, metric at equal cost, cost to reach a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from trainer.compare.base import Interval
from trainer.core.errors import ConfigError, DataError
from trainer.core.metric import Mode, direction
from trainer.core.suggest import did_you_mean
from trainer.job.compare import budgets
from trainer.job.compare.budgets import COSTS, Cost, Reached
from trainer.job.compare.groups import Group, find_baseline, group_runs
from trainer.job.compare.numbers import MetricFormat
from trainer.job.compare.runs import FinishedRun, SkippedRun, finite
from trainer.job.compare.significance import (
    Correction,
    Difference,
    Summary,
    difference,
    judge,
    summarise,
)

NAMES = ("mean_iou", "accuracy", "rmse", "loss")  # the metric where job.metric is null
SPLITS = ("test", "val")
FEWEST_SEEDS = 3  # for a verdict on a replication

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Row:
    """A group in a table; the baseline has no difference."""

    label: str
    summary: Summary
    difference: Difference | None
    cost: float | None = None  # the mean cost at which its values were measured


@dataclass(frozen=True)
class Table:
    """The groups by the final metric, or by the validation metric at equal cost."""

    metric: str
    rows: list[Row]
    cost: Cost | None = None
    budget: float | None = None
    missing: list[str] = field(default_factory=list)  # groups with no validation in the budget


@dataclass(frozen=True)
class Replica:
    """A group beside a published result."""

    label: str
    value: float  # its difference from the baseline
    passed: bool | None  # None with fewer than three seeds


@dataclass(frozen=True)
class Comparison:
    """Groups of runs, compared with one of them."""

    metric: str
    mode: Mode
    format: MetricFormat
    interval: Interval
    correction: Correction
    baseline: Group
    groups: list[Group]
    final: Table
    equal: list[Table]  # at equal cost
    target: float | None
    reached: list[Reached]
    skipped: list[SkippedRun]
    published: tuple[float, float] | None = None  # the differences that count as replicated

    @property
    def replicas(self) -> list[Replica]:
        """Each group's difference, or a lone group's value, against the published interval."""
        if self.published is None:
            return []
        if len(self.groups) == 1:
            found = [(row, row.summary.mean, row.summary.n) for row in self.final.rows]
        else:
            found = [(r, d.mean, d.seeds) for r in self.final.rows if (d := r.difference)]
        low, high = self.published
        return [
            Replica(row.label, value, None if seeds < FEWEST_SEEDS else low <= value <= high)
            for row, value, seeds in found
        ]

    @property
    def curve_metric(self) -> str:
        """The same metric on the validation split, which is measured during training."""
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
    """Group the runs, summarise them and test the differences.

    Raises DataError where no run is finished, ConfigError for an unknown metric or baseline.
    """
    skipped = [run for run in found if isinstance(run, SkippedRun)]
    runs = [run for run in found if isinstance(run, FinishedRun)]
    if not runs:
        reasons = "; ".join(f"{run.folder}: {run.reason}" for run in skipped[:3])
        raise DataError(f"runs: no finished training run among {len(skipped)}: {reasons}")
    metric = choose_metric(runs, metric)
    unmeasured = [run for run in runs if run.final(metric) is None]
    skipped += [SkippedRun(run.folder, f"has no {metric}") for run in unmeasured]
    groups, repeated = group_runs([r for r in runs if r.final(metric) is not None], ignore)
    base, name, mode = find_baseline(groups, baseline), metric.partition("/")[2], direction(metric)
    goal = budgets.baseline_target(base, name) if target is None else target
    tables = [at_equal_cost(groups, base, cost, name, interval, correction) for cost in COSTS]
    finals = {group.label: final_values(group, metric) for group in groups}
    return Comparison(
        metric=metric,
        mode=mode,
        format=MetricFormat.of(metric),
        interval=interval,
        correction=correction,
        baseline=base,
        groups=groups,
        final=Table(metric, compare_rows(finals, base.label, interval, correction)),
        equal=[table for table in tables if table is not None],
        target=goal,
        reached=[]
        if goal is None
        else [budgets.cost_to_reach(group, name, goal, mode) for group in groups],
        skipped=skipped + repeated,
        published=published,
    )


def choose_metric(runs: Sequence[FinishedRun], asked: str | None) -> str:
    """The metric to compare by. Raises ConfigError where no run has the one asked for."""
    known = {
        f"{split}/{name}": None
        for run in runs
        for split, values in run.result.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if finite(value) is not None
    }
    wanted = [f"{s}/{n}" for s in SPLITS for n in NAMES] if asked is None else [asked]
    for name in wanted:
        if name in known:
            return name
    if asked is None:
        raise DataError("runs: no run has test or validation metrics; give job.metric")
    hint = did_you_mean(asked, list(known)) or f" Available: {', '.join(known)}"
    raise ConfigError(f"job.metric={asked}: no run has this metric.{hint}")


def final_values(group: Group, metric: str) -> Values:
    """The final metric of a group by seed."""
    found = {run.seed: run.final(metric) for run in group.runs}
    return {seed: value for seed, value in found.items() if value is not None}


def compare_rows(
    values: Mapping[str, Values],
    baseline: str,
    interval: Interval,
    correction: Correction,
    costs: Mapping[str, float] | None = None,
) -> list[Row]:
    """A row for each group that has values, with differences where the baseline has some, too."""
    others = [label for label in values if label != baseline and baseline in values]
    found = [difference(values[label], values[baseline], interval) for label in others]
    judged = dict(zip(others, judge(found, correction, interval), strict=True))
    spent = costs or {}
    return [
        Row(label, summarise(by_seed, interval), judged.get(label), spent.get(label))
        for label, by_seed in values.items()
    ]


def at_equal_cost(
    groups: Sequence[Group],
    baseline: Group,
    cost: Cost,
    name: str,
    interval: Interval,
    correction: Correction,
) -> Table | None:
    """The validation metric within the common budget; None where a run does not record the cost."""
    budget = budgets.common_budget(groups, cost, name)
    if budget is None:
        return None
    found = {group.label: budgets.within_budget(group, cost, name, budget) for group in groups}
    points = {label: by_seed for label, by_seed in found.items() if by_seed}
    values = {k: {seed: y for seed, (_, y) in by_seed.items()} for k, by_seed in points.items()}
    costs = {k: sum(x for x, _ in by_seed.values()) / len(by_seed) for k, by_seed in points.items()}
    rows = compare_rows(values, baseline.label, interval, correction, costs)
    missing = [label for label in found if label not in points]
    return Table(f"val/{name}", rows, cost, budget, missing)
