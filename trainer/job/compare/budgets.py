"""The metric at equal cost, and the cost of a value, from the validations of each run.

A budget is the least that any run has spent in the end. Of a run counts its last validation within
the budget: no number in between is made up, and the best one so far would favour whoever validates
more often. So a run may be judged a little before the budget: the mean place is told with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.core.metric import Mode
from trainer.job.compare.groups import Group
from trainer.job.compare.runs import FinishedRun, number

EPSILON = 1e-9  # relative, of a budget

Point = tuple[float, float]  # cost, metric


@dataclass(frozen=True)
class Axis:
    """What a validation has cost."""

    key: str  # in a line of metrics.jsonl, but for `epochs`, and in result.json
    name: str


AXES = (
    Axis("epochs", "epochs"),
    Axis("examples_seen", "examples seen"),
    Axis("backward_passes", "backward passes"),
    Axis("train_seconds", "seconds of training"),
)


@dataclass(frozen=True)
class Reached:
    """What a group spent until a validation first was as good as a target."""

    label: str
    runs: int
    reached: int
    spent: dict[str, list[float]]  # by the key of the axis, of the runs that reached it


def curve(run: FinishedRun, axis: Axis, name: str) -> list[Point]:
    """The validations of a run that tell both cost and metric."""
    points = [(number(line.get(axis.key)), number(line.get(name))) for line in run.validations]
    return [(x, y) for x, y in points if x is not None and y is not None]


def budget(groups: Sequence[Group], axis: Axis, name: str) -> float | None:
    """The least final cost of all runs; None where one tells none."""
    curves = [curve(run, axis, name) for group in groups for run in group.runs]
    return min(points[-1][0] for points in curves) if curves and all(curves) else None


def within_budget(group: Group, axis: Axis, name: str, limit: float) -> dict[int, Point]:
    """By seed, the last validation of cost `limit` at most; runs with none so early are absent."""
    found = {}
    for run in group.runs:
        early = [p for p in curve(run, axis, name) if p[0] <= limit * (1 + EPSILON)]
        if early:
            found[run.seed] = early[-1]
    return found


def target_of(baseline: Group, name: str) -> float | None:
    """What the baseline's last validations come to in the mean."""
    last = [points[-1][1] for run in baseline.runs if (points := curve(run, AXES[0], name))]
    return fmean(last) if last else None


def reach(group: Group, name: str, target: float, mode: Mode) -> Reached:
    """The first validation of each run that is as good as the target, and its cost."""
    spent: dict[str, list[float]] = {axis.key: [] for axis in AXES}
    reached = 0
    for run in group.runs:
        for line in run.validations:
            value = number(line.get(name))
            if value is None or (value < target if mode == "max" else value > target):
                continue
            reached += 1
            for key, costs in spent.items():
                cost = number(line.get(key))
                if cost is not None:
                    costs.append(cost)
            break
    return Reached(group.label, len(group.runs), reached, spent)


def mean_curve(group: Group, axis: Axis, name: str) -> list[tuple[float, float, float, float]]:
    """Cost, mean, lowest and highest value over the seeds at each validation that all have."""
    curves = [curve(run, axis, name) for run in group.runs]
    made = []
    for points in zip(*curves, strict=False):  # up to the end of the shortest
        values = [y for _, y in points]
        made.append((fmean(x for x, _ in points), fmean(values), min(values), max(values)))
    return made
