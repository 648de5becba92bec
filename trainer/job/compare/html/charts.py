"""The charts of a comparison as inline SVG, coloured by the page's CSS, with `<title>` tooltips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from trainer.core.text import escape_html
from trainer.job.compare.budgets import Cost, mean_curve
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.html.svg import (
    UNLIMITED,
    Axes,
    Format,
    Range,
    dot,
    hover,
    joined,
    line,
    span,
    tag,
    text_at,
)
from trainer.job.compare.numbers import MetricFormat, format_tick
from trainer.job.compare.tables import run_costs

COLOURS = 8  # of groups; the next eight have them again, dashed
ROW, BAR = 34, 18  # pixels of a group's row, and of its bar
WIDEST, LETTER = 360, 7  # pixels of the names beside the rows, and of one letter
EDGE = 16  # pixels left of the plot where the names are above the rows

Curve = Sequence[tuple[float, float, float, float]]  # cost, mean, low, high


@dataclass(frozen=True)
class Mark:
    """A group's mean with its interval and the values of its seeds, perhaps at some cost."""

    label: str
    number: int  # of the group: its colour
    mean: float
    bounds: list[float]  # low and high; empty with one seed
    seeds: Sequence[tuple[float, float]] = ()  # cost, value
    cost: float = 0.0

    @property
    def values(self) -> list[float]:
        """All values that the axes must span."""
        return [self.mean, *self.bounds, *(value for _, value in self.seeds)]

    def describe(self, show: Format) -> str:
        """Describe the mark for a tooltip: `mining=ohem: 94.07 (91.46 to 96.68)`."""
        bounds = f" ({' to '.join(map(show, self.bounds))})" if self.bounds else ""
        return f"{self.label}: {show(self.mean)}{bounds}"


def final_charts(comparison: Comparison) -> str:
    """Chart the groups' means, and their differences from the baseline."""
    shown, level = comparison.format, f"{100 * comparison.interval.level:g}% CI"
    about = f"{comparison.metric}{shown.heading}: mean, {level} and each seed"
    marks = final_marks(comparison)
    pictures = figure(about, row_chart(marks, shown.limits, shown.value, about, bars=False))
    differences = [
        Mark(row.label, i, d.mean, ends(*shown.clip(d.low, d.high, difference=True)))
        for i, row in enumerate(comparison.final.rows)
        if (d := row.difference) is not None
    ]
    if differences:
        points = f",{shown.points}" if shown.points else ""
        about = f"difference from {comparison.baseline.label}{points}: mean and {level}"
        show = partial(shown.value, sign=True)
        pictures += figure(about, row_chart(differences, UNLIMITED, show, about, bars=True))
    return tag("div", pictures, css="figures rows")


def final_marks(comparison: Comparison, cost: Cost | None = None) -> list[Mark]:
    """Return each group's final metric at its total cost; none if a run does not record that."""
    marks = []
    pairs = zip(comparison.groups, comparison.final.rows, strict=True)
    for i, (group, row) in enumerate(pairs):
        summary = row.summary
        spent = [0.0] * summary.n if cost is None else run_costs(group, cost.key)
        if len(spent) < summary.n:
            return []
        bounds = ends(*comparison.format.clip(summary.low, summary.high))
        seeds = list(zip(spent, summary.values.values(), strict=True))
        marks.append(Mark(row.label, i, summary.mean, bounds, seeds, sum(spent) / len(spent)))
    return marks


def ends(*bounds: float | None) -> list[float]:
    """Return the ends of an interval; empty if it has none, or no end."""
    return [bound for bound in bounds if bound is not None and math.isfinite(bound)]


def figure(caption: str, picture: str) -> str:
    """Return a picture with its caption, as HTML."""
    return tag("figure", tag("figcaption", escape_html(caption)), picture)


def progress_charts(comparison: Comparison) -> str:
    """Chart the validation metric over each cost that every run records."""
    name = comparison.curve_metric.partition("/")[2]
    pictures = []
    for cost in comparison.costs:
        curves = [mean_curve(group, cost, name) for group in comparison.groups]
        if all(curves):
            pictures.append(figure(f"by {cost.name}", curve_chart(comparison, cost, curves)))
    if not pictures:
        return ""
    about = tag("p", "Mean over the seeds at each validation; the band spans all seeds.")
    return about + tag("div", *pictures, css="figures")


def cost_charts(comparison: Comparison) -> str:
    """Chart the final metric against backward passes and against seconds."""
    pictures = [
        figure(f"by total {cost.name}", scatter_chart(comparison, cost, marks))
        for cost in comparison.costs[2:]
        if (marks := final_marks(comparison, cost))
    ]
    return tag("div", *pictures, css="figures") if pictures else ""


def curve_chart(comparison: Comparison, cost: Cost, curves: Sequence[Curve]) -> str:
    """Chart curves over a cost, each within the band of its seeds; validations have tooltips."""
    shown = comparison.format
    every = [point for curve in curves for point in curve]
    axes = axes_of([x for x, *_ in every], [y for _, *ys in every for y in ys], shown)
    bands, lines, dots = [], [], []
    for i, (group, curve) in enumerate(zip(comparison.groups, curves, strict=True)):
        edge = [axes.at(x, high) for x, _, _, high in curve]
        edge += [axes.at(x, low) for x, _, low, _ in reversed(curve)]
        bands.append(tag("polygon", css=f"band c{i % COLOURS}", points=joined(edge)))
        path = [axes.at(x, mean) for x, mean, _, _ in curve]
        lines.append(tag("polyline", css=f"line {colour(i)}", points=joined(path)))
        for place, (x, mean, low, high) in zip(path, curve, strict=True):
            text = f"{group.label}: {shown.value(mean)} at {format_tick(x)} {cost.name}"
            dots.append(dot("spot", place, 5, f"{text} ({shown.bounds(low, high)})"))
    name = f"{comparison.curve_metric}{shown.heading}"
    frame = axes.x_axis(cost.name, format_tick) + axes.y_axis(name, shown.value)
    return axes.svg([frame, *bands, *lines, *dots], f"{name} by {cost.name}")


def scatter_chart(comparison: Comparison, cost: Cost, marks: Sequence[Mark]) -> str:
    """Chart the final metric against a cost: mean, interval and seeds of each group."""
    shown = comparison.format
    xs = [x for mark in marks for x, _ in mark.seeds]
    axes = axes_of(xs, [value for mark in marks for value in mark.values], shown)
    seeds, means = [], []
    for mark in marks:
        css = colour(mark.number)
        seeds += [dot(f"seed {css}", axes.at(*place), 3) for place in mark.seeds]
        if mark.bounds:
            means.append(line(f"whisker {css}", *(axes.at(mark.cost, y) for y in mark.bounds)))
        text = f"{mark.describe(shown.value)} at {format_tick(mark.cost)} {cost.name}"
        means.append(dot(f"dot {css}", axes.at(mark.cost, mark.mean), 6, text))
    name = f"{comparison.metric}{shown.heading}"
    frame = axes.x_axis(cost.name, format_tick) + axes.y_axis(name, shown.value)
    return axes.svg([frame, *seeds, *means], f"{name} against {cost.name}")


def axes_of(xs: Sequence[float], ys: Sequence[float], shown: MetricFormat) -> Axes:
    """Return axes that span all points with a margin: costs from 0, no tick above 100 %."""
    return Axes(span(xs, from_zero=True), span(ys), y_limits=shown.limits)


def row_chart(marks: Sequence[Mark], limits: Range, show: Format, about: str, *, bars: bool) -> str:
    """Chart a row per group: the mean as a dot among those of the seeds, or as a bar from 0."""
    left = 16 + LETTER * max(len(mark.label) for mark in marks)
    beside = left <= WIDEST  # else the names are above the rows
    size = 1000, (ROW if beside else 2 * ROW) * len(marks) + 40
    x = span([*([0.0] if bars else []), *(value for mark in marks for value in mark.values)])
    edge = left if beside else EDGE
    axes = Axes(x, (float(len(marks)), 0.0), *size, left=edge, below=26, x_limits=limits)
    parts = [axes.x_axis("", show, zero=bars)]
    for i, mark in enumerate(marks):
        parts.append(row(axes, mark, i + 0.5, mark.describe(show), bars=bars))
    return axes.svg(parts, about)


def row(axes: Axes, mark: Mark, y: float, tooltip: str, *, bars: bool) -> str:
    """Draw the row of one group."""
    css = colour(mark.number)
    left, middle = axes.at(mark.mean, y)
    if axes.left > EDGE:
        parts = [text_at(mark.label, "end name", axes.left - 10, middle + 4)]
    else:
        parts = [text_at(fit(mark.label, axes.width), "name", axes.left, middle - BAR)]
    if bars:
        zero, _ = axes.at(0, y)
        box = {"x": min(zero, left), "width": round(abs(left - zero), 1)}
        box |= {"y": middle - BAR / 2, "height": BAR}
        parts.append(tag("rect", hover(tooltip), css=f"bar {css}", **box))
    if mark.bounds:
        parts.append(line(f"whisker {css}", *(axes.at(x, y) for x in mark.bounds)))
    if not bars:
        parts += [dot(f"seed {css}", axes.at(value, y), 3.5) for _, value in mark.seeds]
        parts.append(dot(f"dot {css}", (left, middle), 6, tooltip))
    return "".join(parts)


def legend(labels: Sequence[str]) -> str:
    """Return the legend of the groups' colours, as HTML."""
    entries = [
        tag("li", tag("i", css=colour(i)), escape_html(label)) for i, label in enumerate(labels)
    ]
    return tag("ul", *entries, css="legend")


def colour(number: int) -> str:
    """Return the CSS classes of a group's marks: a colour, dashed after the first eight."""
    return f"c{number % COLOURS}{' dashed' if number >= COLOURS else ''}"


def fit(label: str, width: int) -> str:
    """Cut a name to a width in pixels, in its middle: groups often differ at the end."""
    most = max(4, (width - 16) // LETTER)
    end = (most - 1) // 2
    return label if len(label) <= most else f"{label[: most - 1 - end]}…{label[-end:]}"
