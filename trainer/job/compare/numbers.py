"""Numbers as they are shown: shares as percent and points, others to four digits."""

from dataclasses import dataclass

SHARES = ("accuracy", "mean_iou", "precision", "recall", "f1", "ece", "coverage")
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
DASH = "–"


@dataclass(frozen=True)
class MetricFormat:
    """How the values of a metric are shown."""

    share: bool  # a part of 1

    @classmethod
    def of(cls, metric: str) -> "MetricFormat":
        """That of a metric by its name."""
        return cls(metric.endswith(SHARES))

    @property
    def name(self) -> str:
        """What stands after a value."""
        return " %" if self.share else ""

    @property
    def points(self) -> str:
        """What stands after a difference."""
        return " points" if self.share else ""

    def value(self, value: float | None, *, sign: bool = False) -> str:
        """A value, or a difference with its sign."""
        if value is None:
            return DASH
        plus = "+" if sign else ""
        return minus(f"{100 * value:{plus}.2f}" if self.share else f"{value:{plus}.4g}")

    def mean(self, mean: float, deviation: float | None) -> str:
        """A mean ± the standard deviation."""
        spread = "" if deviation is None else f" ± {self.value(deviation)}"
        return f"{self.value(mean)}{spread}"

    def bounds(self, low: float | None, high: float | None, *, sign: bool = False) -> str:
        """An interval."""
        if low is None or high is None:
            return DASH
        return f"{self.value(low, sign=sign)} to {self.value(high, sign=sign)}"


def minus(number: str) -> str:
    """A number with a true minus, and no sign on zero."""
    if not number.strip("+-0.e"):
        return number.lstrip("+-")
    return number.replace("-", "−")


def amount(value: float | None) -> str:
    """A cost: thousands apart, seconds with three digits."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def short(value: float) -> str:
    """A number for an axis: 12k, 0.95."""
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return minus(f"{value / size:.4g}{prefix}")
    return minus(f"{value:.4g}")


def chance(p: float | None) -> str:
    """A p value."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
