"""Groups of runs against a baseline: final metric, metric at equal cost, cost to reach a value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from trainer.compare.base import Interval
from trainer.core.errors import ConfigError, DataError
from trainer.core.metric import COMPARED, Mode, direction
from trainer.core.number import finite
from trainer.core.suggest import did_you_mean
from trainer.job.compare import budgets
from trainer.job.compare.budgets import COSTS, SECONDS, Cost, Reached
from trainer.job.compare.groups import Group, find_baseline, group_runs
from trainer.job.compare.images import Images, new_images
from trainer.job.compare.numbers import MetricFormat
from trainer.job.compare.runs import FinishedRun, SkippedRun
from trainer.job.compare.significance import (
    Correction,
    Difference,
    Summary,
    difference,
    judge,
    summarise,
)
from trainer.job.compare.worst import Breakdown, breakdowns

SPLITS = ("test", "val")
NOT_POOLED = "it is no mean over examples, and out_of_fold.csv has not what it is computed from"
FEWEST_SEEDS = 3  # for a verdict on a replication

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Row:
    """A group's summary and its difference from the baseline, which itself has none."""

    label: str
    summary: Summary
    difference: Difference | None
    cost: float | None = None  # the mean cost at which its values were measured
    images: Images | None = None  # the difference for new images too


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
    """A group's result and whether it is in the published interval."""

    label: str
    value: float  # its difference from the baseline
    passed: bool | None  # None with fewer than three seeds


@dataclass(frozen=True)
class Comparison:
    """Groups of runs compared with the baseline, which is one of them."""

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
    breakdowns: list[Breakdown] = field(default_factory=list)  # by class and by group of images

    @property
    def replicas(self) -> list[Replica]:
        """Each group's difference, or a lone group's value, against the published interval."""
        if self.published is None:
            return []
        if len(self.groups) == 1:
            measured = [(row, row.summary.mean, row.summary.n) for row in self.final.rows]
        else:
            measured = [(r, d.mean, d.seeds) for r in self.final.rows if (d := r.difference)]
        low, high = self.published
        return [
            Replica(row.label, value, None if seeds < FEWEST_SEEDS else low <= value <= high)
            for row, value, seeds in measured
        ]

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """The costs by which the runs can be compared: by seconds on one kind of machine alone."""
        return costs_of(self.groups)

    @property
    def curve_metric(self) -> str:
        """The same metric on the validation split, which is measured during training."""
        return f"val/{self.metric.partition('/')[2]}"


def compare(
    runs: Sequence[FinishedRun | SkippedRun],
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

    Raises DataError if no run is finished, ConfigError for an unknown metric or baseline.
    """
    skipped = [run for run in runs if isinstance(run, SkippedRun)]
    finished = [run for run in runs if isinstance(run, FinishedRun)]
    if not finished:
        reasons = "; ".join(f"{run.folder}: {run.reason}" for run in skipped[:3])
        raise DataError(f"runs: no finished training run among {len(skipped)}: {reasons}")
    metric = choose_metric(finished, metric)
    unmeasured = [run for run in finished if run.final(metric) is None]
    skipped += [SkippedRun(run.folder, f"has no {metric}") for run in unmeasured]
    groups, repeated = group_runs([r for r in finished if r.final(metric) is not None], ignore)
    base, name, mode = find_baseline(groups, baseline), metric.partition("/")[2], direction(metric)
    goal = budgets.baseline_target(base, name) if target is None else target
    finals = {group.label: final_values(group, metric) for group in groups}
    final = Table(metric, compare_rows(finals, base.label, interval, correction))
    return Comparison(
        metric=metric,
        mode=mode,
        format=MetricFormat.of(metric),
        interval=interval,
        correction=correction,
        baseline=base,
        groups=groups,
        final=with_images(final, groups, base, interval),
        equal=equal_tables(groups, base, name, interval, correction),
        target=goal,
        reached=[budgets.cost_to_reach(g, name, goal, mode) for g in groups if goal is not None],
        skipped=skipped + repeated,
        published=published,
        breakdowns=breakdowns(groups, base, metric, interval, correction),
    )


def costs_of(groups: Sequence[Group]) -> tuple[Cost, ...]:
    """The costs by which groups can be compared."""
    machines = {run.machine for group in groups for run in group.runs}
    return COSTS if len(machines) == 1 else tuple(c for c in COSTS if c.key != SECONDS)


def choose_metric(runs: Sequence[FinishedRun], metric: str | None) -> str:
    """Return the metric to compare by, by default the first of COMPARED on SPLITS.

    Raises ConfigError if no run has `metric`, DataError if no run has any.
    """
    known = {
        f"{split}/{name}": None
        for run in runs
        for split, values in run.result.items()
        if isinstance(values, dict)
        for name, value in values.items()
        if finite(value) is not None
    }
    wanted = [f"{s}/{n}" for s in SPLITS for n in COMPARED] if metric is None else [metric]
    for name in wanted:
        if name in known:
            return name
    if metric is None:
        raise DataError("runs: no run has test or validation metrics; give job.metric")
    if any(metric in run.not_pooled for run in runs):
        raise ConfigError(
            f"job.metric={metric} is not known of all folds together: {NOT_POOLED}. "
            f"Available: {', '.join(known)}"
        )
    hint = did_you_mean(metric, list(known)) or f" Available: {', '.join(known)}"
    raise ConfigError(f"job.metric={metric}: no run has this metric.{hint}")


def final_values(group: Group, metric: str) -> Values:
    """Return a group's final metric by seed; runs without it are absent."""
    finals = {run.seed: run.final(metric) for run in group.runs}
    return {seed: value for seed, value in finals.items() if value is not None}


def compare_rows(
    values: Mapping[str, Values],
    baseline: str,
    interval: Interval,
    correction: Correction,
    costs: Mapping[str, float] | None = None,
) -> list[Row]:
    """Return a row per group with values, with a difference if the baseline has values too."""
    others = [label for label in values if label != baseline and baseline in values]
    differences = [difference(values[label], values[baseline], interval) for label in others]
    judged = dict(zip(others, judge(differences, correction, interval), strict=True))
    spent = costs or {}
    return [
        Row(label, summarise(by_seed, interval), judged.get(label), spent.get(label))
        for label, by_seed in values.items()
    ]


def with_images(
    table: Table, groups: Sequence[Group], baseline: Group, interval: Interval
) -> Table:
    """Add the intervals for new images to the final table, where the metric is of test."""
    by_label = {group.label: group for group in groups}
    rows = [
        row
        if row.difference is None or row.difference.kind != "paired"
        else replace(row, images=new_images(by_label[row.label], baseline, table.metric, interval))
        for row in table.rows
    ]
    return replace(table, rows=rows)


def equal_tables(
    groups: Sequence[Group],
    baseline: Group,
    name: str,
    interval: Interval,
    correction: Correction,
) -> list[Table]:
    """Compare the validation metric at each cost that all runs have recorded."""
    costs = costs_of(groups)
    tables = [at_equal_cost(groups, baseline, c, name, interval, correction) for c in costs]
    return [table for table in tables if table is not None]


def at_equal_cost(
    groups: Sequence[Group],
    baseline: Group,
    cost: Cost,
    name: str,
    interval: Interval,
    correction: Correction,
) -> Table | None:
    """Compare the validation metric within the common budget; None if there is no budget."""
    budget = budgets.common_budget(groups, cost, name)
    if budget is None:
        return None
    measured = {group.label: budgets.within_budget(group, cost, name, budget) for group in groups}
    points = {label: by_seed for label, by_seed in measured.items() if by_seed}
    values = {k: {seed: y for seed, (_, y) in by_seed.items()} for k, by_seed in points.items()}
    costs = {k: sum(x for x, _ in by_seed.values()) / len(by_seed) for k, by_seed in points.items()}
    rows = compare_rows(values, baseline.label, interval, correction, costs)
    missing = [label for label in measured if label not in points]
    return Table(f"val/{name}", rows, cost, budget, missing)
