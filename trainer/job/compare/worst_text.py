"""The worst classes and groups of images, and which of them got worse, as text and records."""

from collections.abc import Iterator, Sequence

from trainer.core.text import count
from trainer.job.compare import sentences
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.numbers import DASH, MetricFormat, format_amount, format_p
from trainer.job.compare.significance import Difference
from trainer.job.compare.tables import TextTable
from trainer.job.compare.worst import MEASURES, Breakdown, Kind, Part

SHARE = MetricFormat(share=True, decimals=1)
SHOWN = 10  # changes of each strategy in a table
CONSOLE, PAGE = 3, 100  # sentences about parts that got worse
LONGEST = 24  # characters of a name in the table of the worst
FEW = 30  # examples, below which their number is said: the interval is over seeds alone
PLURAL: dict[Kind, str] = {"class": "classes", "group": "groups"}


def level_of(comparison: Comparison) -> str:
    """Name the interval: `95% CI`."""
    return f"{100 * comparison.interval.level:g}% CI"


def text_tables(comparison: Comparison) -> list[TextTable]:
    """Return the table of the worst, and those of the changes."""
    return [*worst_table(comparison), *change_tables(comparison)]


def worst_table(comparison: Comparison) -> list[TextTable]:
    """Return a row per strategy: mean, worst class, worst group; empty without records."""
    found = comparison.breakdowns
    if not found:
        return []
    first = found[0]
    columns = ["group", "mean", *(f"worst {one.kind}" for one in found)]
    rows = []
    for group in comparison.groups:
        mean = first.means[group.label]
        whole = DASH if mean is None else SHARE.value(mean.mean)
        rows.append([group.label, whole, *(worst_cell(one.worst(group.label)) for one in found)])
    measures = " and ".join(measure_of(one) for one in found)
    whole = MEASURES[first.measure].replace("_", " ")
    title = f"{first.split} {whole}, %: mean, and worst {measures} with {level_of(comparison)}"
    return [TextTable(title, columns, rows)]


def measure_of(found: Breakdown) -> str:
    """Return `class`, with the measure if it is not accuracy: `class (average precision)`."""
    plain = found.measure in ("recall", "accuracy")
    return found.kind if plain else f"{found.kind} ({found.measure.replace('_', ' ')})"


def worst_cell(part: Part | None) -> str:
    """Format the worst part: `cat: 74.1 (71.5 to 76.7)`."""
    if part is None:
        return DASH
    name = part.name if len(part.name) <= LONGEST else f"{part.name[: LONGEST - 1]}…"
    low, high = part.summary.low, part.summary.high
    bounds = "" if low is None else f" ({SHARE.bounds(low, high)})"
    return f"{name}: {SHARE.value(part.summary.mean)}{bounds}"


def change_tables(comparison: Comparison) -> list[TextTable]:
    """Return a table of changes by class and one by group, at most 10 of each strategy."""
    tables = (change_table(comparison, found) for found in comparison.breakdowns)
    return [table for table in tables if table.rows]


def change_table(comparison: Comparison, found: Breakdown) -> TextTable:
    """Return the largest changes of each strategy, those beyond noise first."""
    level, baseline = level_of(comparison), comparison.baseline.label
    name = found.kind if found.kind == "class" else "image group"  # a group is of runs
    columns = ["group", name, "images", baseline, "mean", "difference", level]
    columns += [sentences.P_NAMES[comparison.correction], "verdict"]
    base = {part.name: part.summary.mean for part in found.parts[baseline]}
    by_label: dict[str, list[list[str]]] = {label: [] for label in found.parts}
    most = 0
    for part, change in found.changes:
        rows = by_label[part.label]
        rows.append(change_row(part, change, base[part.name]))
        most = max(most, len(rows))
    title = f"{found.split} {found.measure.replace('_', ' ')} by {found.kind} (%)"
    if most > SHOWN:
        title += f": the {SHOWN} largest changes of {most:,}, those beyond noise first"
    rows = [row for own in by_label.values() for row in own[:SHOWN]]
    return TextTable(title, columns, rows)


def change_row(part: Part, change: Difference, base: float) -> list[str]:
    """Format a row of `change_table`."""
    return [
        part.label,
        part.name,
        f"{part.examples:,}",
        SHARE.value(base),
        SHARE.value(part.summary.mean),
        SHARE.value(change.mean, sign=True),
        SHARE.bounds(change.low, change.high, sign=True),
        format_p(change.adjusted_p),
        verdict(change),
    ]


def verdict(change: Difference) -> str:
    """Return better, worse, within noise, undecided, or no verdict."""
    if change.adjusted_p is None:
        return "no verdict"
    if change.beyond_noise:
        return "better" if change.mean > 0 else "worse"
    return "undecided" if change.undecided else "within noise"


def verdicts(comparison: Comparison, most: int = PAGE) -> list[str]:
    """Return the sentences on which classes and groups got worse, at most `most` of each kind.

    Before them, which of the worst have few examples.
    """
    lines = [line for found in comparison.breakdowns for line in few(found)]
    if len(comparison.groups) == 1:
        return lines
    return lines + [
        line for found in comparison.breakdowns for line in worse(comparison, found, most)
    ]


def few(found: Breakdown) -> Iterator[str]:
    """Yield a sentence on the worst classes or groups with few examples, if there are any."""
    worst = {part.name: part for label in found.parts if (part := found.worst(label))}
    small = [f"{name} has {part.examples}" for name, part in worst.items() if part.examples < FEW]
    if small:
        yield (
            f"Of the worst {PLURAL[found.kind]}, {', '.join(small)} examples in {found.split}: an "
            "interval over seeds says little about other images."
        )


def worse(comparison: Comparison, found: Breakdown, most: int) -> Iterator[str]:
    """Yield a sentence per part that is worse beyond noise, or one that says there is none."""
    if not any(change.p is not None for _, change in found.changes):
        yield (
            f"No change by {found.kind} could be tested: that takes two seeds of each group of "
            "runs, and values that vary."
        )
        return
    if not found.worse:
        yield none_worse(comparison, found)
    for part, change in found.worse[:most]:
        yield f"{change_text(comparison, found, part, change)}, worse beyond noise."
    if (more := len(found.worse) - most) > 0:
        noun = count(more, found.kind, plural=PLURAL[found.kind], form=",")
        yield f"{noun} more got worse beyond noise: by_{found.kind}.csv."


def none_worse(comparison: Comparison, found: Breakdown) -> str:
    """Say that no part got worse, in how many tests, and how large the largest drop is."""
    tested = [change for _, change in found.changes if change.p is not None]
    name = "" if comparison.correction == "none" else f", {comparison.correction.title()}"
    text = (
        f"No {found.kind} is worse beyond noise than with {comparison.baseline.label} "
        f"({count(len(tested), 'comparison', form=',')}{name})"
    )
    if undecided := sum(change.undecided for change in tested):
        text += f"; so few seeds cannot decide {undecided:,} of them"
    text += uncorrected(comparison, tested)
    part, change = min(found.changes, key=lambda pair: pair[1].mean)
    if change.mean >= 0:
        return f"{text}."
    return f"{text}. The largest drop: {change_text(comparison, found, part, change)}."


def uncorrected(comparison: Comparison, tested: Sequence[Difference]) -> str:
    """Say how many would be worse without the correction, and how many chance alone gives."""
    alpha = 1 - comparison.interval.level
    found = sum(change.mean < 0 and change.p is not None and change.p < alpha for change in tested)
    if not found:
        return ""
    expected = format_amount(len(tested) * alpha / 2)  # one side of a two-sided test
    return f"; without the correction {found:,} would be, and by chance alone about {expected}"


def change_text(comparison: Comparison, found: Breakdown, part: Part, change: Difference) -> str:
    """Return `mining=ohem: class cat −4.1 points (95% CI −7.0 to −1.2, Holm p = 0.02)`."""
    text = f"{part.label}: {found.kind} {part.name} {SHARE.value(change.mean, sign=True)} points"
    if change.low is None:
        return text
    bounds = SHARE.bounds(change.low, change.high, sign=True)
    return f"{text} ({level_of(comparison)} {bounds}, {sentences.p_value(comparison, change)})"


def method(comparison: Comparison) -> list[str]:
    """Explain the worst class and the tests by class; nothing without records."""
    if not comparison.breakdowns:
        return []
    return [
        "The worst class or group is that with the lowest mean over the seeds. The lowest of "
        "several noisy means is on average too low, and its interval leaves the choice out of "
        "account: take it as a description, and the changes, which are not chosen, as the test.",
        "Changes by class and by group are tested like the metric, and corrected for all groups "
        "of runs times classes. Noise is that between seeds on the same images: of a class with "
        "few images it says little about other images. A class's accuracy is its recall.",
    ]
