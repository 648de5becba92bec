"""The metric at equal cost, and the cost of reaching a value, from each run's validations.

A budget is the lowest final cost of any run. Each run is represented by its last validation within
the budget: nothing is interpolated, and taking the best so far would favour runs that validate more
often. A run may thus be measured a little short of the budget, so the tables give the mean cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.core.metric import Mode
from trainer.core.number import finite
from trainer.job.compare.groups import Group
from trainer.job.compare.runs import FinishedRun

TOLERANCE = 1e-9  # relative, of a budget

Point = tuple[float, float]  # cost, metric


@dataclass(frozen=True)
class Cost:
    """A measure of training cost, such as epochs or backward passes."""

    key: str  # in a line of metrics.jsonl, except for `epochs`, and in result.json
    name: str


SECONDS = "train_seconds"
COSTS = (
    Cost("epochs", "epochs"),
    Cost("examples_seen", "examples seen"),
    Cost("backward_passes", "backward passes"),
    Cost(SECONDS, "training seconds"),
)


@dataclass(frozen=True)
class Reached:
    """Costs of a group's runs up to the first validation at least as good as a target."""

    label: str
    runs: int
    reached: int
    spent: dict[str, list[float]]  # by the key of the cost, for the runs that reached it


def curve(run: FinishedRun, cost: Cost, name: str) -> list[Point]:
    """Return cost and metric of each validation that records both, in order of epochs."""
    points = [(finite(line.get(cost.key)), finite(line.get(name))) for line in run.validations]
    return [(x, y) for x, y in points if x is not None and y is not None]


def common_budget(groups: Sequence[Group], cost: Cost, name: str) -> float | None:
    """Return the lowest final cost of any run; None if a run does not record it."""
    curves = [curve(run, cost, name) for group in groups for run in group.runs]
    return min(points[-1][0] for points in curves) if curves and all(curves) else None


def within_budget(group: Group, cost: Cost, name: str, budget: float) -> dict[int, Point]:
    """Return each run's last validation within the budget, by seed; runs with none are absent."""
    last_by_seed = {}
    for run in group.runs:
        early = [p for p in curve(run, cost, name) if p[0] <= budget * (1 + TOLERANCE)]
        if early:
            last_by_seed[run.seed] = early[-1]
    return last_by_seed


def baseline_target(baseline: Group, name: str) -> float | None:
    """Return the mean of the metric at the baseline's last validations; None if there are none."""
    last = [points[-1][1] for run in baseline.runs if (points := curve(run, COSTS[0], name))]
    return fmean(last) if last else None


def cost_to_reach(group: Group, name: str, target: float, mode: Mode) -> Reached:
    """Return each run's costs at its first validation at least as good as the target."""
    spent: dict[str, list[float]] = {cost.key: [] for cost in COSTS}
    reached = 0
    for run in group.runs:
        for line in run.validations:
            value = finite(line.get(name))
            if value is None or (value < target if mode == "max" else value > target):
                continue
            reached += 1
            for key, amounts in spent.items():
                amount = finite(line.get(key))
                if amount is not None:
                    amounts.append(amount)
            break
    return Reached(group.label, len(group.runs), reached, spent)


def mean_curve(group: Group, cost: Cost, name: str) -> list[tuple[float, float, float, float]]:
    """Return cost, mean, lowest and highest value over the seeds, at each validation all have."""
    curves = [curve(run, cost, name) for run in group.runs]
    means = []
    for points in zip(*curves, strict=False):  # up to the end of the shortest
        values = [y for _, y in points]
        means.append((fmean(x for x, _ in points), fmean(values), min(values), max(values)))
    return means
