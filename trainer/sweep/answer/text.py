"""The answer in words: the rows of its table, and three sentences."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

from trainer.core.text import count
from trainer.job.compare.numbers import DASH, MetricFormat, format_p
from trainer.sweep.answer.settings import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.sweep.answer.decide import Finding
    from trainer.sweep.answer.inquiry import Inquiry

NONE_BETTER = "No strategy is known to be better or worse than {baseline}."


def columns(inquiry: Inquiry, images: Mapping[str, str] | None = None) -> list[str]:
    """The heading of the table; `images` are the intervals for new images, where they are known."""
    shown = format_of(inquiry)
    level = f"{100 * inquiry.limits.level:g}% interval"
    metric = f"{inquiry.metric or 'metric'}{shown.heading}"
    tuned = ["tuned", "val"] if inquiry.limits.tune else []
    new = ["for new images"] if images else []
    return ["strategy", *tuned, "runs", metric, level, *new, "difference", "Holm p", "state"]


def rows(inquiry: Inquiry, images: Mapping[str, str] | None = None) -> list[list[str]]:
    """A row for each strategy, the baseline first."""
    evidence = inquiry.evidence
    return [row(inquiry, label, images or {}) for label in (evidence.baseline, *evidence.others)]


def row(inquiry: Inquiry, label: str, images: Mapping[str, str]) -> list[str]:
    """What is known of a strategy: the interval stands before the difference."""
    evidence, shown = inquiry.evidence, format_of(inquiry)
    values = [v for v in evidence.values[label].values() if v is not None]
    cells = [label, *tuned(inquiry, label), str(len(values))]
    cells.append(shown.value(fmean(values)) if values else DASH)
    if label == evidence.baseline:
        return [*cells, *[DASH] * (4 if images else 3), "baseline"]
    one = evidence.findings[label]
    return [
        *cells,
        interval(one, shown),
        *([images.get(label, DASH)] if images else []),
        shown.value(one.mean, sign=True) if one.values else DASH,
        format_p(one.adjusted_p) if one.values else DASH,
        state(inquiry, label),
    ]


def tuned(inquiry: Inquiry, label: str) -> list[str]:
    """The settings that the search has found and their value on val; empty without a search."""
    if not inquiry.limits.tune:
        return []
    found = inquiry.searches.get(label)
    if found is None or found.settings is None:
        return [DASH, DASH]
    return [" ".join(found.settings), DASH if found.value is None else f"{found.value:.4f}"]


def state(inquiry: Inquiry, label: str) -> str:
    """A strategy's state in a few words: `better`, `level`, `5 of 30 seeds`."""
    one = inquiry.evidence.findings[label]
    if one.decided:
        return one.verdict
    return f"undecided, {one.looked} of {inquiry.limits.seeds} seeds"


def interval(one: Finding, shown: MetricFormat) -> str:
    """The interval of a difference; a dash while there is none."""
    if not math.isfinite(one.low):
        return DASH
    return shown.bounds(one.low, one.high, sign=True)


def format_of(inquiry: Inquiry) -> MetricFormat:
    """How the metric is shown."""
    return MetricFormat.of(inquiry.metric or "")


def sentences(inquiry: Inquiry, images: Mapping[str, str]) -> list[str]:
    """The answer: what helps or hurts, what is level or open, how sure that is.

    `images` are the intervals for new images by strategy, as text.
    """
    return [claims(inquiry, images), others(inquiry, images), surety(inquiry)]


def claims(inquiry: Inquiry, images: Mapping[str, str]) -> str:
    """Which strategies are better or worse than the baseline, and by how much."""
    evidence = inquiry.evidence
    parts = [
        f"{label} is {one.verdict} than {evidence.baseline}: "
        f"{numbers(inquiry, label, images)}{small(inquiry, one)}"
        for label, one in evidence.findings.items()
        if one.verdict in ("better", "worse")
    ]
    none = NONE_BETTER.format(baseline=evidence.baseline)
    return f"{'; '.join(parts)}." if parts else none


def small(inquiry: Inquiry, one: Finding) -> str:
    """Say that a difference, though certain, is within the margin."""
    margin = inquiry.limits.margin
    if margin is None or max(abs(one.low), abs(one.high)) >= margin:
        return ""
    return f", less than the margin of {format_of(inquiry).value(margin)}"


def others(inquiry: Inquiry, images: Mapping[str, str]) -> str:
    """Which strategies are level with the baseline, undecided or without results."""
    findings = inquiry.evidence.findings
    parts = [
        text
        for label, one in findings.items()
        if (text := open_or_level(inquiry, label, one, images))
    ]
    return f"{'; '.join(parts)}." if parts else "Nothing is left open."


def open_or_level(inquiry: Inquiry, label: str, one: Finding, images: Mapping[str, str]) -> str:
    """A strategy that is level, undecided or failed, in words; empty for any other."""
    evidence, shown = inquiry.evidence, format_of(inquiry)
    if one.verdict == "failed":
        return f"{label} has too few results for an answer: its runs failed"
    if one.verdict == "level":
        margin = f"±{shown.value(inquiry.limits.margin)}{shown.points}"
        about = numbers(inquiry, label, images)
        return f"{label} is level with {evidence.baseline} within {margin}: {about}"
    if one.verdict != "undecided":
        return ""
    seeds = count(one.looked, "seed")
    if not math.isfinite(one.low):
        return f"{label} is undecided after {seeds}: {why_open(one)}"
    return f"{label} is undecided after {seeds}: {numbers(inquiry, label, images)}; {advice(one)}"


def why_open(one: Finding) -> str:
    """Why there is no interval."""
    if len(one.values) < 2:
        return "too few to compare"
    if len(set(one.values)) == 1:
        same = "no difference" if not one.values[0] else "the same difference"
        return f"{same} with each of them, and what does not vary cannot be tested"
    return "too few for an interval"


def advice(one: Finding) -> str:
    """What it would take to decide."""
    if one.needed is None:
        return "more than 1,000 seeds would be needed for a difference of this size"
    return f"about {max(one.needed, one.looked + 1)} seeds in all would decide on one of this size"


def numbers(inquiry: Inquiry, label: str, images: Mapping[str, str]) -> str:
    """The intervals, then the mean: `+0.3 to +1.1 points over seeds (mean +0.7, ...)`."""
    one, shown = inquiry.evidence.findings[label], format_of(inquiry)
    new = f"; {images[label]} for new images" if label in images else ""
    seeds = count(len(one.values), "seed")
    mean = f"mean {shown.value(one.mean, sign=True)}, Holm p {equals(one.adjusted_p)}, {seeds}"
    return f"{interval(one, shown)}{shown.points} over seeds{new} ({mean})"


def equals(p: float) -> str:
    """A p value after its name."""
    text = format_p(p)
    return text if text.startswith("<") else f"= {text}"


def surety(inquiry: Inquiry) -> str:
    """How sure the answer is, what it took, and what is missing from it."""
    evidence = inquiry.evidence
    runs = sum(len(evidence.counted(label)) for label in evidence.values)
    percent = f"{100 * (1 - inquiry.limits.level):.3g}%"
    text = (
        f"Whenever one stops, the chance that any of this is wrong is at most {percent}, "
        f"but what stopped early shows too large a mean; {count(runs, 'run')} counted, "
        f"{duration(inquiry.spent)} spent"
    )
    if missing := inquiry.notes:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        text += f"; left out: {shown}"
    return f"{text}."
