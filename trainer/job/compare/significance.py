"""Which differences are beyond noise: t tests, corrected for their number, and seeds to plan for.

Two strategies that ran the same seeds have the same splits, first weights and order of examples in
each: their difference is taken seed by seed (paired), and what a seed does to both drops out.
Otherwise the test is Welch's. Holm 1979: the i-th smallest of m p values times m − i + 1, and no
less than the one before; it holds the chance of any false alarm, whatever the dependence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import Literal

from trainer.compare.base import Interval
from trainer.compare.shared.student_t import quantile, two_sided
from trainer.compare.t import welch

Correction = Literal["holm", "bonferroni", "none"]
Kind = Literal["paired", "Welch", "none"]

POWER = 0.8  # chance to find a difference of the size that is seen
MOST_SEEDS = 1000
SAME = 1e-9  # of the values: a smaller deviation is that of rounding

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Summary:
    """Mean, deviation (n − 1) and interval of a group; of one seed there is only the mean."""

    values: dict[int, float]
    mean: float
    deviation: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Seeds."""
        return len(self.values)


@dataclass(frozen=True)
class Difference:
    """A group less the baseline."""

    kind: Kind
    seeds: int  # pairs, or those of the smaller group
    mean: float
    deviation: float | None  # of the paired differences; of Welch the root of both variances' sum
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted: float | None = None
    needed: int | None = None  # seeds in all, for 80 % power; None where over MOST_SEEDS
    beyond: bool = False  # noise

    @property
    def more(self) -> int | None:
        """Seeds to add."""
        return None if self.needed is None else max(1, self.needed - self.seeds)


def summary(values: Values, interval: Interval) -> Summary:
    """What a group's values amount to."""
    numbers = list(values.values())
    if len(numbers) < 2:
        return Summary(dict(values), numbers[0], None, None, None)
    return Summary(dict(values), fmean(numbers), stdev(numbers), *interval.mean(numbers))


def difference(values: Values, baseline: Values, interval: Interval) -> Difference:
    """The difference with its interval and the p value of a t test, not yet corrected."""
    common = [seed for seed in values if seed in baseline]
    if len(common) >= 2:
        return paired([values[seed] - baseline[seed] for seed in common], interval, values)
    if min(len(values), len(baseline)) >= 2:
        return unpaired(list(values.values()), list(baseline.values()), interval)
    one = {seed: values[seed] for seed in common} or values
    mean = fmean(one.values()) - fmean([baseline[seed] for seed in common] or baseline.values())
    return Difference("none", min(len(values), len(baseline)), mean, None)


def paired(differences: Sequence[float], interval: Interval, scale: Values) -> Difference:
    """Of the same seeds. Where all are the same there is no deviation to judge them by."""
    n, mean, deviation = len(differences), fmean(differences), stdev(differences)
    if deviation <= SAME * max(map(abs, scale.values())):
        return Difference("paired", n, mean, 0.0)
    p = two_sided(mean / deviation * math.sqrt(n), n - 1)
    return Difference("paired", n, mean, deviation, *interval.mean(differences), p)


def unpaired(values: Sequence[float], baseline: Sequence[float], interval: Interval) -> Difference:
    """Of other seeds."""
    n, mean = min(len(values), len(baseline)), fmean(values) - fmean(baseline)
    error, df = welch(values, baseline)
    deviation = math.hypot(stdev(values), stdev(baseline))
    if deviation <= SAME * max(map(abs, values)):
        return Difference("Welch", n, mean, 0.0)
    p = two_sided(mean / error, df)
    return Difference("Welch", n, mean, deviation, *interval.difference(values, baseline), p)


def judge(
    found: Sequence[Difference], correction: Correction, interval: Interval
) -> list[Difference]:
    """Corrected for how many they are, with the verdict and the seeds to plan for."""
    tested = [one.p for one in found if one.p is not None]
    adjusted = iter(adjust(tested, correction))
    alpha = 1 - interval.level
    strict = alpha if correction == "none" else alpha / max(1, len(tested))
    judged = []
    for one in found:
        p = None if one.p is None else next(adjusted)
        beyond = p is not None and p < alpha
        judged.append(replace(one, adjusted=p, beyond=beyond, needed=needed(one, strict)))
    return judged


def adjust(p: Sequence[float], correction: Correction) -> list[float]:
    """P values made as large as their number asks for."""
    m = len(p)
    if correction == "none":
        return list(p)
    if correction == "bonferroni":
        return [min(1.0, m * one) for one in p]
    adjusted, highest = [0.0] * m, 0.0
    for rank, i in enumerate(sorted(range(m), key=p.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def needed(one: Difference, alpha: float) -> int | None:
    """The fewest seeds of each group whose test at `alpha` finds the difference in 80 % of cases.

    n ≥ ((t_{1−α/2} + t_{0.8}) s / d)², the t of that n: the usual approximation of the power of a
    t test. It takes the d and s that were seen for the true ones, and so is a rough guide.
    """
    if not one.mean or not one.deviation:
        return None
    ratio = one.deviation / abs(one.mean)
    samples = 2 if one.kind == "Welch" else 1

    def enough(n: int) -> bool:
        df = samples * (n - 1)
        return n >= ((quantile(1 - alpha / 2, df) + quantile(POWER, df)) * ratio) ** 2

    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    n = max(2, math.ceil((z * ratio) ** 2))  # of t it takes some more
    while n <= MOST_SEEDS and not enough(n):
        n += 1
    return n if n <= MOST_SEEDS else None
