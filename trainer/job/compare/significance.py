"""Which differences are beyond noise: tests, corrected for their number, and seeds to add.

With the same seed two strategies share the split, the initial weights and the order of examples, so
their differences are taken seed by seed (paired), which removes the variation that a seed causes in
both. Otherwise the test is the interval's for two samples. Holm (1979) multiplies the i-th smallest
of m p values by m − i + 1 and makes each at least the one before; this bounds the chance of any
false positive under arbitrary dependence.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, covariance, fmean
from typing import Literal

from trainer.compare.base import Interval
from trainer.compare.shared.deviation import stdev
from trainer.compare.shared.student_t import quantile

Correction = Literal["holm", "bonferroni", "none"]
Kind = Literal["paired", "Welch", "none"]

POWER = 0.8  # chance to detect a difference of the size observed
MOST_SEEDS = 1000
FEW_SEEDS = 3  # with which only a very large difference can be told from noise
ROUNDING = 1e-9  # relative to the values: a smaller deviation is rounding error

Values = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation (n − 1) and interval of a group; one seed has only a mean."""

    values: dict[int, float]
    mean: float
    deviation: float | None
    low: float | None
    high: float | None

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)


@dataclass(frozen=True)
class Difference:
    """Difference of a group from the baseline, with the result of its test."""

    kind: Kind
    seeds: int  # pairs, or seeds of the smaller group
    mean: float
    deviation: float | None  # of the paired differences; for Welch √(s₁² + s₂²)
    low: float | None = None
    high: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    needed: int | None = None  # seeds in total for 80% power; None where over MOST_SEEDS
    beyond_noise: bool = False
    corrected: bool = False  # whether p was corrected for several comparisons
    correlation: float | None = None  # of the paired values
    spread: float | None = (
        None  # √(s₁² + s₂²) of paired values: their deviation, were they unpaired
    )
    unpaired: int | None = None  # seeds that the test of independent samples would need
    undecided: bool = False  # not beyond noise, but there are too few seeds to say within

    @property
    def extra_seeds(self) -> int | None:
        """Seeds to add for 80% power; None if that takes more than MOST_SEEDS."""
        return None if self.needed is None else max(1, self.needed - self.seeds)


def summarise(values: Values, interval: Interval) -> Summary:
    """Summarise a group's values by mean, deviation and interval."""
    numbers = list(values.values())
    if len(numbers) < 2:
        return Summary(dict(values), numbers[0], None, None, None)
    return Summary(dict(values), fmean(numbers), stdev(numbers), *interval.mean(numbers))


def difference(values: Values, baseline: Values, interval: Interval) -> Difference:
    """Return the difference with its interval and its p value, not yet corrected."""
    common = [seed for seed in values if seed in baseline]
    if len(common) >= 2:
        found = paired([values[seed] - baseline[seed] for seed in common], interval, values)
        pairs = [values[seed] for seed in common], [baseline[seed] for seed in common]
        return replace(found, correlation=correlation_of(*pairs), spread=spread_of(*pairs))
    if min(len(values), len(baseline)) >= 2:
        return unpaired(list(values.values()), list(baseline.values()), interval)
    ours = {seed: values[seed] for seed in common} or values
    mean = fmean(ours.values()) - fmean([baseline[seed] for seed in common] or baseline.values())
    return Difference("none", min(len(values), len(baseline)), mean, None)


def paired(differences: Sequence[float], interval: Interval, scale: Values) -> Difference:
    """Test paired differences; there is no p value if the differences do not vary."""
    n, mean, deviation = len(differences), fmean(differences), stdev(differences)
    if deviation <= ROUNDING * max(map(abs, scale.values())):
        return Difference("paired", n, mean, 0.0)
    bounds, p = interval.mean(differences), interval.p_mean(differences)
    return Difference("paired", n, mean, deviation, *bounds, p)


def unpaired(values: Sequence[float], baseline: Sequence[float], interval: Interval) -> Difference:
    """Test the difference of groups with different seeds."""
    n, mean = min(len(values), len(baseline)), fmean(values) - fmean(baseline)
    deviation = math.hypot(stdev(values), stdev(baseline))
    if deviation <= ROUNDING * max(map(abs, values)):
        return Difference("Welch", n, mean, 0.0)
    bounds, p = interval.difference(values, baseline), interval.p_difference(values, baseline)
    return Difference("Welch", n, mean, deviation, *bounds, p)


def judge(
    differences: Sequence[Difference], correction: Correction, interval: Interval
) -> list[Difference]:
    """Return the differences with corrected p values, verdicts and the seeds needed."""
    alpha, tested = 1 - interval.level, sum(test.p is not None for test in differences)
    strict = alpha if correction == "none" else alpha / max(1, tested)
    return [
        replace(
            test,
            needed=needed(test, strict, interval),
            unpaired=unpaired_needed(test, strict, interval),
        )
        for test in decide(differences, correction, interval)
    ]


def decide(
    differences: Sequence[Difference], correction: Correction, interval: Interval
) -> list[Difference]:
    """Return the differences with corrected p values and verdicts."""
    tested = [test.p for test in differences if test.p is not None]
    adjusted = iter(adjust_p(tested, correction))
    alpha = 1 - interval.level
    several = correction != "none" and len(tested) > 1
    judged = []
    for test in differences:
        p = None if test.p is None else next(adjusted)
        beyond = p is not None and p < alpha
        few = p is not None and not beyond and too_few(test, interval)
        verdict = {"beyond_noise": beyond, "corrected": several, "undecided": few}
        judged.append(replace(test, adjusted_p=p, **verdict))
    return judged


def too_few(test: Difference, interval: Interval) -> bool:
    """Whether a difference is as large as its deviation, or the test blind, with so few seeds."""
    large = abs(test.mean) >= (test.deviation or 0.0)
    return test.seeds < interval.fewest or (test.seeds <= FEW_SEEDS and large)


def adjust_p(p: Sequence[float], correction: Correction) -> list[float]:
    """Return p values corrected for their number."""
    m = len(p)
    if correction == "none":
        return list(p)
    if correction == "bonferroni":
        return [min(1.0, m * value) for value in p]
    adjusted, highest = [0.0] * m, 0.0
    for rank, i in enumerate(sorted(range(m), key=p.__getitem__)):
        highest = max(highest, min(1.0, (m - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def correlation_of(values: Sequence[float], baseline: Sequence[float]) -> float | None:
    """The correlation of paired values; None where either do not vary."""
    a, b = (stdev(sample) for sample in (values, baseline))
    if min(a, b) <= ROUNDING * max(map(abs, (*values, *baseline))):
        return None
    return covariance(values, baseline) / (a * b)


def spread_of(values: Sequence[float], baseline: Sequence[float]) -> float:
    """√(s₁² + s₂²), what the deviation of differences would be without the correlation."""
    return math.hypot(stdev(values), stdev(baseline))


def unpaired_needed(observed: Difference, alpha: float, interval: Interval) -> int | None:
    """The seeds that a paired difference would need, had the groups no common seeds."""
    if observed.kind != "paired" or not observed.spread:
        return None
    kind: Kind = "paired" if interval.sequential else "Welch"
    return needed(replace(observed, kind=kind, deviation=observed.spread), alpha, interval)


def needed(observed: Difference, alpha: float, interval: Interval) -> int | None:
    """Return the seeds in total for about 80% power by the method of the interval."""
    if not interval.sequential or not observed.deviation:
        return seeds_needed(observed, alpha, interval.fewest)
    return interval.needed(observed.mean / observed.deviation, alpha)


def seeds_needed(observed: Difference, alpha: float, fewest: int = 2) -> int | None:
    """Return the fewest seeds per group for 80% power at `alpha`; None if over MOST_SEEDS.

    They are at least the `fewest` with which the test can decide at all.

    n ≥ ((t_{1−α/2} + t_{0.8}) s / d)² with the t of that n: the usual approximation to the power of
    a t test. It is a rough guide, as the observed d and s stand in for the true ones.
    """
    if not observed.mean or not observed.deviation:
        return None
    ratio = observed.deviation / abs(observed.mean)
    samples = 2 if observed.kind == "Welch" else 1

    def enough(n: int) -> bool:
        df = samples * (n - 1)
        return n >= ((quantile(1 - alpha / 2, df) + quantile(POWER, df)) * ratio) ** 2

    normal = NormalDist()
    z = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(POWER)
    n = max(fewest, math.ceil((z * ratio) ** 2))  # t needs a few more
    while n <= MOST_SEEDS and not enough(n):
        n += 1
    return n if n <= MOST_SEEDS else None
