"""The interval of a difference for new images too, from the predictions that runs keep of test.

The interval over seeds is about this test set: it says what another training run on it would
measure. Other images of the same kind are another draw. Where a metric is a mean over examples, the
differences y[seed, example] are a table whose two-way variance takes account of both draws
(`trainer.compare.shared.two_way`). Other metrics that labels and predictions suffice for have a
bootstrap of the examples, drawn alike for all runs of both groups. Drawing the few seeds as well
(Owen 2007, https://arxiv.org/abs/0712.1111) would give too little weight to them: five seeds have
an interval narrower than that over seeds alone. So the half a of that interval and the half b of
the bootstrap's are added as √(a² + b²); the noise of single answers is in both, which makes it a
little too wide rather than too narrow.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from trainer.compare.base import Bounds, Interval
from trainer.core.errors import CheckpointError
from trainer.job.compare.groups import Group
from trainer.job.compare.runs import FinishedRun
from trainer.storage import predicted

RESAMPLES = 1000
CLOSE = 1e-4  # relative: by more, the file is not what the metric was computed from
LEAST = 1e-30  # of p_y, whose logarithm is taken

Rows = np.ndarray  # [N] of predicted.read
Measure = Callable[[Rows, np.ndarray], float]  # of rows with weights [N]

VALUES: dict[str, Callable[[Rows], np.ndarray]] = {  # metrics that are means over examples [N]
    "accuracy": lambda rows: rows["label"] == rows["prediction"],
    "nll": lambda rows: -np.log(np.maximum(rows["p_y"], LEAST)),
    "loss": lambda rows: -np.log(np.maximum(rows["p_y"], LEAST)),  # plain cross entropy
    "exact_match": lambda rows: rows["correct"],
    "label_accuracy": lambda rows: rows["label_accuracy"],
    "mae": lambda rows: rows["absolute_error"],
    "mse": lambda rows: rows["squared_error"],
}


@dataclass(frozen=True)
class Images:
    """The interval for new images, or why there is none."""

    bounds: Bounds | None
    missing: str = ""


def new_images(ours: Group, baseline: Group, metric: str, interval: Interval) -> Images:
    """The interval of the difference of two groups, over their common seeds and the images."""
    split, _, name = metric.partition("/")
    if split != "test" or name not in (*VALUES, *MEASURES):
        return Images(None, f"{metric} cannot be computed from predictions/test.npy")
    common = [seed for seed in ours.seeds if seed in set(baseline.seeds)]
    if len(common) < 2:
        return Images(None, "fewer than two common seeds")
    pairs = [(run_of(ours, seed), run_of(baseline, seed)) for seed in common]
    try:
        rows = [(rows_of(a, metric), rows_of(b, metric)) for a, b in pairs]
    except CheckpointError as error:
        return Images(None, str(error))
    ids = rows[0][0]["id"]
    if not all(np.array_equal(one["id"], ids) for pair in rows for one in pair):
        return Images(None, "the runs are tested on different images")
    if len(ids) < 2:
        return Images(None, "there is one image")
    if name in VALUES:
        table = np.stack([difference(a, b, VALUES[name]) for a, b in rows])
        return Images(interval.crossed(table))
    return Images(bootstrap(rows, MEASURES[name], interval))


def run_of(group: Group, seed: int) -> FinishedRun:
    """The run of a group with a seed."""
    return next(run for run in group.runs if run.seed == seed)


def rows_of(run: FinishedRun, metric: str) -> Rows:
    """A run's predictions. Raises CheckpointError where they are missing or do not fit."""
    rows, name = predicted.read(run.folder), metric.partition("/")[2]
    if rows is None:
        raise CheckpointError("older runs have kept no predictions")
    final = run.final(metric)
    try:
        own = (
            VALUES[name](rows).mean()
            if name in VALUES
            else MEASURES[name](rows, np.ones(len(rows)))
        )
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{run.folder}: its predictions are of another task") from error
    if final is None or not abs(own - final) <= CLOSE * max(1.0, abs(final)):
        raise CheckpointError(f"{metric} is not that of the predictions that {run.folder} has kept")
    return rows


def difference(ours: Rows, baseline: Rows, values: Callable[[Rows], np.ndarray]) -> np.ndarray:
    """The difference of each example [N]."""
    return values(ours).astype(np.float32) - values(baseline).astype(np.float32)


def bootstrap(rows: Sequence[tuple[Rows, Rows]], measure: Measure, interval: Interval) -> Bounds:
    """The interval of the mean difference over seeds, and over examples drawn with replacement."""
    rng, n = np.random.default_rng(0), len(rows[0][0])
    even = np.ones(n)
    low, high = interval.mean([measure(a, even) - measure(b, even) for a, b in rows])
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        weights = np.bincount(rng.integers(n, size=n), minlength=n).astype(float)
        means[i] = np.mean([measure(a, weights) - measure(b, weights) for a, b in rows])
    z = NormalDist().inv_cdf((1 + interval.level) / 2)
    middle, half = (low + high) / 2, math.hypot((high - low) / 2, z * float(means.std()))
    return middle - half, middle + half


def counts(rows: Rows, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The weight of right examples, of examples and of predictions, [C] each, by class."""
    labels, predictions = rows["label"], rows["prediction"]
    size = 1 + int(max(labels.max(), predictions.max()))
    right = np.bincount(labels, weights * (labels == predictions), size)
    return right, np.bincount(labels, weights, size), np.bincount(predictions, weights, size)


def balanced_accuracy(rows: Rows, weights: np.ndarray) -> float:
    """The mean recall of the classes that have examples."""
    right, actual, _ = counts(rows, weights)
    return float((right[actual > 0] / actual[actual > 0]).mean())


def macro_f1(rows: Rows, weights: np.ndarray) -> float:
    """The mean F1 of the classes that occur or are predicted."""
    right, actual, predictions = counts(rows, weights)
    both = actual + predictions
    return float((2 * right[both > 0] / both[both > 0]).mean())


def rmse(rows: Rows, weights: np.ndarray) -> float:
    """The root of the mean squared error."""
    return float(np.average(rows["squared_error"], weights=weights) ** 0.5)


MEASURES: dict[str, Measure] = {
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "rmse": rmse,
}
