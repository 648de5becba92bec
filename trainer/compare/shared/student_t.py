"""Student's t distribution in plain Python, since SciPy is not a dependency.

P(T ≥ |t|) = I_x(df/2, 1/2) / 2 with x = df / (df + t²), where the regularised incomplete beta
function I_x is computed by its continued fraction (Numerical Recipes, 3rd edition, section 6.4).
"""

import math
from functools import lru_cache

TINY = 1e-300  # replaces zero denominators
TOLERANCE = 1e-15  # relative change at which the continued fraction has converged
ROUNDS = 500  # of the continued fraction, at most


def two_sided(t: float, df: float) -> float:
    """The two-sided p value P(|T| ≥ |t|) with `df` degrees of freedom."""
    return beta(df / (df + t * t), df / 2, 0.5)


@lru_cache(maxsize=10_000)  # planning the number of seeds repeats the same arguments
def quantile(p: float, df: float) -> float:
    """The t with P(T ≤ t) = p for `df` degrees of freedom, by bisection."""
    if p < 0.5:
        return -quantile(1 - p, df)
    low, high, tail = 0.0, 1.0, 2 * (1 - p)
    while two_sided(high, df) > tail:
        low, high = high, 2 * high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided(middle, df) > tail else (low, middle)
    return (low + high) / 2


def beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) of x in [0, 1]."""
    if x in (0.0, 1.0):
        return x
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(scale + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * fraction(x, a, b) / a
    return 1 - front * fraction(1 - x, b, a) / b


def fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of I_x(a, b), by the modified Lentz method."""
    c, d = 1.0, 1 / nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, ROUNDS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for factor in (even, odd):
            d = 1 / nonzero(1 + factor * d)
            c = nonzero(1 + factor / c)
            value *= c * d
        if abs(c * d - 1) < TOLERANCE:
            break
    return value


def nonzero(value: float) -> float:
    """The value, or `TINY` if it is nearly 0."""
    return value if abs(value) > TINY else TINY
