"""The tables as text, for the console, Markdown and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from trainer.compare.shared.deviation import stdev
from trainer.core.text import count
from trainer.job.compare import sentences
from trainer.job.compare.budgets import COSTS, Cost, Reached
from trainer.job.compare.comparison import Comparison, Row, Table
from trainer.job.compare.groups import Group
from trainer.job.compare.numbers import DASH, format_amount, format_p
from trainer.job.compare.significance import MOST_SEEDS, Difference

NEW_IMAGES = "for new images"
PAIRING = ("correlation", "seeds needed, paired / unpaired")


@dataclass(frozen=True)
class TextTable:
    """A table of text, whose first column heads the rows."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def text_tables(comparison: Comparison) -> list[TextTable]:
    """Return all tables: final metric, total cost, one per equal cost, target, skipped runs."""
    return [
        final_table(comparison),
        *difference_table(comparison),
        cost_table(comparison),
        *(metric_table(comparison, table) for table in comparison.equal),
        *target_table(comparison),
        *skipped_table(comparison),
    ]


def console_tables(comparison: Comparison) -> list[TextTable]:
    """Return the same tables with a single one for all costs."""
    return [
        final_table(comparison),
        *difference_table(comparison),
        cost_table(comparison),
        *([equal_cost_table(comparison)] if comparison.equal else []),
        *target_table(comparison),
        *skipped_table(comparison),
    ]


def equal_cost_table(comparison: Comparison) -> TextTable:
    """Return a table with a column per cost; a difference beyond noise has its verdict."""
    columns = ["group"]
    lines: dict[str, list[str]] = {group.label: [group.label] for group in comparison.groups}
    for table in comparison.equal:
        assert table.cost is not None  # noqa: S101  (only the final table has none)
        columns.append(f"{format_amount(table.budget)} {table.cost.name}")
        rows = {row.label: row for row in table.rows}
        for label, line in lines.items():
            line.append(equal_cost_cell(comparison, rows[label]) if label in rows else DASH)
    title = f"{comparison.curve_metric}{comparison.format.heading} at equal cost"
    return TextTable(title, columns, list(lines.values()))


def equal_cost_cell(comparison: Comparison, row: Row) -> str:
    """Format mean ± deviation, with better or worse if the difference is beyond noise."""
    text = comparison.format.mean(row.summary.mean, row.summary.deviation)
    if row.difference is None or not row.difference.beyond_noise:
        return text
    return f"{text} {short_verdict(comparison, row.difference)}"


def final_table(comparison: Comparison) -> TextTable:
    """Return the table of the final metric."""
    return metric_table(comparison, comparison.final)


def metric_table(comparison: Comparison, table: Table) -> TextTable:
    """Return a row per group: mean, interval, difference from the baseline, verdict."""
    interval = f"{100 * comparison.interval.level:g}% CI"
    columns = ["group", "seeds", f"{table.metric}{comparison.format.heading}", interval]
    columns += ["difference", interval, sentences.P_NAMES[comparison.correction], "verdict"]
    title = f"{table.metric} at the end of training"
    if table.cost is not None:
        columns.insert(2, "measured at")
        title = f"{table.metric} at equal cost: {format_amount(table.budget)} {table.cost.name}"
    rows = [metric_row(comparison, table, row) for row in table.rows]
    rows += [[label, "0"] + [DASH] * (len(columns) - 2) for label in table.missing]
    return TextTable(title, columns, rows)


def metric_row(comparison: Comparison, table: Table, row: Row) -> list[str]:
    """Format a group's row of `metric_table`."""
    shown, summary, difference = comparison.format, row.summary, row.difference
    cells = [row.label, str(summary.n)]
    cells += [] if table.cost is None else [format_amount(row.cost)]
    cells.append(shown.mean(summary.mean, summary.deviation))
    cells.append(shown.bounds(summary.low, summary.high))
    if difference is None:
        is_baseline = row.label == comparison.baseline.label
        return [*cells, *[DASH] * 3, "baseline" if is_baseline else DASH]
    return [
        *cells,
        shown.value(difference.mean, sign=True),
        shown.bounds(difference.low, difference.high, sign=True),
        format_p(difference.adjusted_p),
        short_verdict(comparison, difference),
    ]


def difference_table(comparison: Comparison) -> list[TextTable]:
    """Return the final differences with both intervals, and what pairing by seed saves.

    Empty where no difference has an interval for new images or a correlation.
    """
    pairs = [(row, row.difference) for row in comparison.final.rows if row.difference is not None]
    if not any(d.correlation is not None or (row.images and row.images.bounds) for row, d in pairs):
        return []
    interval = f"{100 * comparison.interval.level:g}% CI over seeds"
    rows = [
        [
            row.label,
            comparison.format.bounds(difference.low, difference.high, sign=True),
            images_cell(comparison, row),
            *pairing_cells(difference),
        ]
        for row, difference in pairs
    ]
    title = f"difference from {comparison.baseline.label}, and what pairing by seed saves"
    return [TextTable(title, ["group", interval, NEW_IMAGES, *PAIRING], rows)]


def images_cell(comparison: Comparison, row: Row) -> str:
    """Format the interval of a difference for new images; a dash where there is none."""
    if row.images is None or row.images.bounds is None:
        return DASH
    return comparison.format.bounds(*row.images.bounds, sign=True)


def pairing_cells(difference: Difference) -> list[str]:
    """Format the correlation of paired values, and the seeds needed with and without pairs."""
    if difference.correlation is None:
        return [DASH, DASH]
    most = f"> {MOST_SEEDS:,}"
    seeds = [most if n is None else f"{n:,}" for n in (difference.needed, difference.unpaired)]
    return [f"{difference.correlation:.2f}".replace("-", "−"), " / ".join(seeds)]


def short_verdict(comparison: Comparison, difference: Difference) -> str:
    """Return the verdict in a few words, such as `within noise (+3 seeds)`."""
    if difference.adjusted_p is None:
        return "no verdict"
    if difference.beyond_noise:
        return "better" if (difference.mean > 0) == (comparison.mode == "max") else "worse"
    extra = difference.extra_seeds
    more = f"> {MOST_SEEDS:,} seeds" if extra is None else f"+{count(extra, 'seed', form=',')}"
    verdict = "undecided" if difference.undecided else "within noise"
    return f"{verdict} ({more})"


def cost_table(comparison: Comparison) -> TextTable:
    """Return the table of each group's total costs."""
    rows = [
        [group.label, *(mean_cost(run_costs(group, cost.key)) for cost in COSTS)]
        for group in comparison.groups
    ]
    return TextTable("total cost", ["group", *(cost.name for cost in COSTS)], rows)


def run_costs(group: Group, key: str) -> list[float]:
    """Return the total cost of each run that records it."""
    return [value for run in group.runs if (value := run.spent(key)) is not None]


def mean_cost(costs: Sequence[float]) -> str:
    """Format mean ± standard deviation of costs, without a deviation if all are the same."""
    if not costs:
        return DASH
    deviation = stdev(costs) if len(costs) > 1 else 0.0
    return format_amount(fmean(costs)) + (f" ± {format_amount(deviation)}" if deviation else "")


def target_table(comparison: Comparison) -> list[TextTable]:
    """Return the table of costs to reach the target; empty without a target."""
    if not comparison.reached or comparison.target is None:
        return []
    goal = f"{comparison.format.value(comparison.target)}{comparison.format.unit}"
    rows = [target_row(reached, comparison.costs) for reached in comparison.reached]
    title, costs = f"cost to reach {comparison.curve_metric} {goal}", comparison.costs
    return [TextTable(title, ["group", "reached by", *(cost.name for cost in costs)], rows)]


def target_row(reached: Reached, costs: Sequence[Cost]) -> list[str]:
    """Format a group's row of `target_table`."""
    spent = [mean_cost(reached.spent[cost.key]) for cost in costs]
    return [reached.label, f"{reached.reached} of {reached.runs}", *spent]


def skipped_table(comparison: Comparison) -> list[TextTable]:
    """Return the table of skipped runs and the reasons; empty if there are none."""
    rows = [[str(run.folder), run.reason] for run in comparison.skipped]
    return [TextTable("skipped runs", ["folder", "reason"], rows)] if rows else []
