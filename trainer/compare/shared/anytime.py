"""An anytime-valid t test (Wang and Ramdas 2023, https://arxiv.org/abs/2310.03722, section 4).

Of n differences with the sum S and the sum of squares V, the e-value of a mean of 0 is

    e = √(c²/(n+c²)) · (V / (V − S²/(n+c²)))^(n/2),

a test martingale: however the moment to look is chosen, P(e ever ≥ 1/α) ≤ α. Its inverse, the
means that e does not reject, is the interval

    mean ± s √(q (n+c²) (n−1) / (n (n − q (n+c²)))),  q = 1 − (α² c²/(n+c²))^(1/n),

which covers the true mean at all n at once. c² is the precision of the prior of the effect, in
standard deviations: large effects are found sooner with a small one.
"""

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import NormalDist, fmean

from trainer.compare.shared.deviation import stdev

PRIOR = 0.5  # c²
SAME = 1e-9  # relative: a smaller deviation is rounding error
MOST = 1000  # values that `values_needed` looks for
POWER = 0.8


def log_e(n: int, total: float, squares: float, prior: float = PRIOR) -> float:
    """The logarithm of e from n values, their sum and the sum of their squares, which is not 0."""
    share = min(1.0, total * total / ((n + prior) * squares))
    return (math.log(prior / (n + prior)) - n * math.log1p(-share)) / 2


def log_e_values(values: Iterable[float], prior: float = PRIOR) -> list[float]:
    """The logarithms of e after each value. Values that are all alike say nothing: e is 1."""
    found, total, squares, first, varies, n = [], 0.0, 0.0, 0.0, False, 0
    for value in values:
        n, total, squares = n + 1, total + value, squares + value * value
        first = value if n == 1 else first
        varies = varies or abs(value - first) > SAME * max(abs(value), abs(first))
        found.append(log_e(n, total, squares, prior) if varies else 0.0)
    return found


def p_value(values: Iterable[float], prior: float = PRIOR) -> float:
    """1 / the highest e so far, at most 1."""
    return math.exp(-max([0.0, *log_e_values(values, prior)]))


@lru_cache(maxsize=10_000)  # each look asks for the same ones
def reach(n: int, alpha: float, prior: float = PRIOR) -> float:
    """Half the interval of n values in units of their standard deviation; infinite for few."""
    q = -math.expm1(math.log(alpha * alpha * prior / (n + prior)) / n)
    left = n - q * (n + prior)
    return math.sqrt(q * (n + prior) * (n - 1) / (n * left)) if left > 0 else math.inf


def bounds(values: Sequence[float], alpha: float, prior: float = PRIOR) -> tuple[float, float]:
    """The interval of the mean of two or more values, in the order in which they came."""
    deviation = stdev(values)
    half = deviation and deviation * reach(len(values), alpha, prior)
    return fmean(values) - half, fmean(values) + half


def fewest_values(alpha: float, prior: float = PRIOR) -> int:
    """The fewest values that can decide, however large and equal they are."""
    return next(n for n in range(2, MOST) if math.isfinite(reach(n, alpha, prior)))


def values_needed(ratio: float, alpha: float, prior: float = PRIOR) -> int | None:
    """The fewest values with about 80 % power to decide; None if over MOST.

    `ratio` is the mean in standard deviations. The sum is taken at its quantile of 20 %.
    """
    z = NormalDist().inv_cdf(POWER)
    for n in range(fewest_values(alpha, prior), MOST + 1):
        total = n * abs(ratio) - z * math.sqrt(n)
        if total > 0 and log_e(n, total, total * total / n + n - 1, prior) >= -math.log(alpha):
            return n
    return None
