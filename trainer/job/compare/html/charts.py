"""The charts of a comparison."""

from functools import partial
from html import escape

from trainer.job.compare.budgets import AXES, Axis, mean_curve
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.html import svg
from trainer.job.compare.html.svg import Line, Mark
from trainer.job.compare.tables import numbers


def finals(of: Comparison) -> str:
    """The groups' means, and their differences to the baseline."""
    order = {one.label: i for i, one in enumerate(of.groups)}
    means = [
        Mark(r.label, order[r.label], s.mean, s.low, s.high, [(0.0, v) for v in s.values.values()])
        for r in of.final.rows
        for s in (r.summary,)
    ]
    apart = [
        Mark(r.label, order[r.label], d.mean, d.low, d.high)
        for r in of.final.rows
        if (d := r.difference) is not None
    ]
    level = f"{100 * of.interval.level:g} % interval"
    drawn = figure(
        f"{of.metric}{of.unit.name}: mean, {level}, and each seed",
        svg.rows(means, show=of.unit.value, about=f"{of.metric} of each group", bars=False),
    )
    if apart:
        points = f",{of.unit.points}" if of.unit.points else ""
        show = partial(of.unit.value, sign=True)
        drawn += figure(
            f"difference to {of.baseline.label}{points}: mean and {level}",
            svg.rows(apart, show=show, about="differences to the baseline", bars=True),
        )
    return f'<div class="figures rows">{drawn}</div>'


def figure(caption: str, picture: str) -> str:
    """A picture with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{picture}</figure>"


def progress(of: Comparison) -> str:
    """The metric of val over each cost."""
    name = of.curve_metric.partition("/")[2]
    drawn = []
    for axis in AXES:
        lines = [Line(one.label, mean_curve(one, axis, name)) for one in of.groups]
        if all(line.points for line in lines):
            about = f"{of.curve_metric} by {axis.name}"
            picture = svg.curves(
                lines,
                x=axis.name,
                y=f"{of.curve_metric}{of.unit.name}",
                show=of.unit.value,
                about=about,
            )
            drawn.append(figure(f"by {axis.name}", picture))
    if not drawn:
        return ""
    about = (
        "<p>Mean over the seeds at each validation; the band is from the lowest to the highest.</p>"
    )
    return f'{about}<div class="figures">{"".join(drawn)}</div>'


def costs(of: Comparison) -> str:
    """Backward passes, and seconds, against the final metric."""
    drawn = [picture for axis in AXES[2:] if (picture := cost(of, axis))]
    return f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""


def cost(of: Comparison, axis: Axis) -> str:
    """One cost in the end against the final metric."""
    marks = []
    for i, (one, row) in enumerate(zip(of.groups, of.final.rows, strict=True)):
        spent = numbers(one, axis.key)
        if len(spent) < len(one.runs):
            return ""
        seeds = list(zip(spent, row.summary.values.values(), strict=True))
        x, held = sum(spent) / len(spent), row.summary
        marks.append(Mark(one.label, i, held.mean, held.low, held.high, seeds, x))
    picture = svg.scatter(
        marks,
        x=axis.name,
        y=f"{of.metric}{of.unit.name}",
        show=of.unit.value,
        about=f"{of.metric} against {axis.name}",
    )
    return figure(f"by {axis.name} in all", picture)
