"""The interval of each difference against the number of seeds, as inline SVG."""

import math
from collections.abc import Sequence
from functools import partial
from statistics import fmean

from trainer.compare.base import Interval
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.html.charts import COLOURS, Curve, colour, figure
from trainer.job.compare.html.svg import Axes, dot, joined, line, span, tag
from trainer.job.compare.numbers import format_tick


def seeds_charts(comparison: Comparison) -> str:
    """Chart the interval of each difference against the number of seeds, if it may be looked at.

    An interval that is right at one number of seeds alone has no such chart.
    """
    if not comparison.interval.sequential:
        return ""
    base = next(r for r in comparison.final.rows if r.label == comparison.baseline.label)
    pictures = []
    for i, row in enumerate(comparison.final.rows):
        common = [s for s in row.summary.values if s in base.summary.values]
        values = [row.summary.values[s] - base.summary.values[s] for s in common]
        points = path_of(values, comparison.interval)
        if row is not base and points:
            about = f"{row.label}: interval of the difference by number of seeds"
            pictures.append(figure(about, path_chart(comparison, i, row.label, points)))
    return tag("div", *pictures, css="figures") if pictures else ""


def path_of(values: Sequence[float], interval: Interval) -> Curve:
    """Return the number, mean and interval of the first n differences, for each n that has one."""
    points = []
    for n in range(interval.fewest, len(values) + 1):
        low, high = interval.mean(values[:n])
        if math.isfinite(high - low):
            points.append((float(n), fmean(values[:n]), low, high))
    return points


def path_chart(comparison: Comparison, number: int, label: str, points: Curve) -> str:
    """Chart the interval of a group's difference, and its mean, against the number of seeds."""
    shown = comparison.format
    ys = [y for _, *bounds in points[1:] or points for y in bounds]  # the first is the widest
    axes = Axes(span([x for x, *_ in points], from_zero=True), span([0.0, *ys]))
    low, high = axes.y
    edge = [axes.at(x, min(top, high)) for x, _, _, top in points]
    edge += [axes.at(x, max(bottom, low)) for x, _, bottom, _ in reversed(points)]
    path = [axes.at(x, mean) for x, mean, _, _ in points]
    parts = [
        axes.x_axis("seeds", format_tick),
        axes.y_axis(f"difference{shown.heading}", partial(shown.value, sign=True)),
        line("zero", axes.at(axes.x[0], 0.0), axes.at(axes.x[1], 0.0)),
        tag("polygon", css=f"band c{number % COLOURS}", points=joined(edge)),
        tag("polyline", css=f"line {colour(number)}", points=joined(path)),
    ]
    for place, (x, mean, bottom, top) in zip(path, points, strict=True):
        text = f"{label}: {shown.value(mean, sign=True)} at {format_tick(x)} seeds"
        parts.append(dot("spot", place, 5, f"{text} ({shown.bounds(bottom, top, sign=True)})"))
    return axes.svg(parts, f"difference of {label} by number of seeds")
