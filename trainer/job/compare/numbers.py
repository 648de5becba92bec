"""Numbers as text: shares in percent, their differences in points, others to four digits."""

import math
from dataclasses import dataclass
from typing import overload

SHARES = (
    *("accuracy", "mean_iou", "precision", "recall", "f1", "mAP", "exact_match", "auroc"),
    *("ece", "coverage"),
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100"),
)
PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
DASH = "–"


@dataclass(frozen=True)
class MetricFormat:
    """Formats the values of a metric."""

    share: bool  # in [0, 1], shown in percent
    decimals: int = 2  # of a percentage

    @classmethod
    def of(cls, metric: str) -> "MetricFormat":
        """Return the format of a metric by its name."""
        return cls(metric.endswith(SHARES))

    @property
    def unit(self) -> str:
        """Unit after a value: `%` or nothing."""
        return "%" if self.share else ""

    @property
    def heading(self) -> str:
        """Unit after the name of the metric: ` (%)` or nothing."""
        return " (%)" if self.share else ""

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the largest value there is."""
        return (0.0, 1.0) if self.share else (-math.inf, math.inf)

    @property
    def points(self) -> str:
        """Unit after a difference: ` points` or nothing."""
        return " points" if self.share else ""

    def value(self, value: float | None, *, sign: bool = False) -> str:
        """Format a value, or with `sign` a difference; None is a dash."""
        if value is None:
            return DASH
        plus = "+" if sign else ""
        percent = f"{100 * value:{plus}.{self.decimals}f}"
        return true_minus(percent if self.share else f"{value:{plus}.4g}")

    def mean(self, mean: float, deviation: float | None) -> str:
        """Format mean ± standard deviation, or the mean alone."""
        deviations = "" if deviation is None else f" ± {self.value(deviation)}"
        return f"{self.value(mean)}{deviations}"

    def bounds(self, low: float | None, high: float | None, *, sign: bool = False) -> str:
        """Format an interval, clipped to [0, 1] for a share; with `sign`, one of differences."""
        if low is None or high is None:
            return DASH
        low, high = self.clip(low, high, difference=sign)
        return f"{self.value(low, sign=sign)} to {self.value(high, sign=sign)}"

    @overload
    def clip(self, low: float, high: float, *, difference: bool = False) -> tuple[float, float]: ...

    @overload
    def clip(
        self, low: float | None, high: float | None, *, difference: bool = False
    ) -> tuple[float | None, float | None]: ...

    def clip(
        self, low: float | None, high: float | None, *, difference: bool = False
    ) -> tuple[float | None, float | None]:
        """Clip the interval of a share to [0, 1], of a `difference` of shares to [−1, 1].

        One that is entirely outside stays as it is.
        """
        least = -1.0 if difference else 0.0
        if low is None or high is None or not self.share or low > 1 or high < least:
            return low, high
        return max(least, low), min(1.0, high)


def true_minus(number: str) -> str:
    """Replace the hyphen of a formatted number by a minus sign; zero gets no sign."""
    if not number.strip("+-0.e"):
        return number.lstrip("+-")
    return number.replace("-", "−")


def format_amount(value: float | None) -> str:
    """Format a cost: whole with commas from 100 on, to three digits below; None is a dash."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def format_tick(value: float) -> str:
    """Format a number for an axis, such as 12k or 0.95."""
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return true_minus(f"{value / size:.4g}{prefix}")
    return true_minus(f"{value:.4g}")


def format_p(p: float | None) -> str:
    """Format a p value to two digits, as `< 0.001` below that; None is a dash."""
    if p is None:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
