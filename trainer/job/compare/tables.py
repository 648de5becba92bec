"""The tables as text, for the console, Markdown and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from trainer.job.compare import sentences
from trainer.job.compare.budgets import AXES, Reached
from trainer.job.compare.comparison import Comparison, Row, Table
from trainer.job.compare.groups import Group
from trainer.job.compare.numbers import DASH, amount, chance
from trainer.job.compare.significance import Difference


@dataclass(frozen=True)
class TextTable:
    """A table of text: the first column is the group's."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def sheets(of: Comparison) -> list[TextTable]:
    """All tables: final, spent, at equal cost, cost of the target, left out."""
    made = [measured(of, of.final), spent(of)]
    made += [measured(of, table) for table in of.equal]
    if of.reached and of.target is not None:
        made.append(to_target(of))
    if of.left:
        rows = [[str(one.folder), one.reason] for one in of.left]
        made.append(TextTable("left out", ["folder", "why"], rows))
    return made


def brief(of: Comparison) -> list[TextTable]:
    """The tables for a console: those at equal cost as one."""
    made = sheets(of)
    return [*made[:2], *([at_equal(of)] if of.equal else []), *made[2 + len(of.equal) :]]


def at_equal(of: Comparison) -> TextTable:
    """A column for each cost; what is beyond noise has its verdict beside it."""
    columns = ["group"]
    cells: dict[str, list[str]] = {one.label: [one.label] for one in of.groups}
    for table in of.equal:
        assert table.axis is not None  # noqa: S101  (only the final one has none)
        columns.append(f"{amount(table.budget)} {table.axis.name}")
        rows = {row.label: row for row in table.rows}
        for label, line in cells.items():
            line.append(brief_cell(of, rows[label]) if label in rows else DASH)
    title = f"{of.curve_metric}{of.unit.name} at equal cost"
    return TextTable(title, columns, list(cells.values()))


def brief_cell(of: Comparison, row: Row) -> str:
    """Mean ± deviation, and whether that is better or worse than the baseline beyond noise."""
    text = of.unit.mean(row.summary.mean, row.summary.deviation)
    found = row.difference
    return f"{text} {in_short(of, found)}" if found is not None and found.beyond else text


def measured(of: Comparison, table: Table) -> TextTable:
    """A row for each group: mean, interval, difference to the baseline, verdict."""
    level = f"{100 * of.interval.level:g} % interval"
    unit = of.unit
    columns = ["group", "seeds", f"{table.metric}{unit.name}", level]
    columns += ["difference", level, sentences.CORRECTED[of.correction], "verdict"]
    title = f"{table.metric} at the end"
    if table.axis is not None:
        columns.insert(2, "taken at")
        title = f"{table.metric} at equal {table.axis.name}: {amount(table.budget)}"
    rows = [row_of(of, table, row) for row in table.rows]
    rows += [[label, "0"] + [DASH] * (len(columns) - 2) for label in table.missing]
    return TextTable(title, columns, rows)


def row_of(of: Comparison, table: Table, row: Row) -> list[str]:
    """A group's line."""
    unit, held, found = of.unit, row.summary, row.difference
    cells = [row.label, str(held.n)]
    cells += [] if table.axis is None else [amount(row.at)]
    cells += [unit.mean(held.mean, held.deviation), unit.bounds(held.low, held.high)]
    if found is None:
        is_baseline = row.label == of.baseline.label
        return [*cells, *[DASH] * 3, "baseline" if is_baseline else DASH]
    return [
        *cells,
        unit.value(found.mean, sign=True),
        unit.bounds(found.low, found.high, sign=True),
        chance(found.adjusted),
        in_short(of, found),
    ]


def in_short(of: Comparison, found: Difference) -> str:
    """The verdict in a few words."""
    if found.adjusted is None:
        return "no verdict"
    if found.beyond:
        return "better" if (found.mean > 0) == (of.mode == "max") else "worse"
    more = f"over {sentences.MOST_SEEDS:,}" if found.more is None else f"+{found.more:,}"
    return f"within noise ({more} seeds)"


def spent(of: Comparison) -> TextTable:
    """What each group has spent to its end."""
    rows = [[one.label, *(mean_of(numbers(one, axis.key)) for axis in AXES)] for one in of.groups]
    return TextTable("spent", ["group", *(axis.name for axis in AXES)], rows)


def numbers(of: Group, key: str) -> list[float]:
    """A number of each run's result."""
    return [value for run in of.runs if (value := run.spent(key)) is not None]


def mean_of(values: Sequence[float]) -> str:
    """Mean ± deviation of costs, the deviation where it is not 0."""
    if not values:
        return DASH
    deviation = stdev(values) if len(values) > 1 else 0.0
    return amount(fmean(values)) + (f" ± {amount(deviation)}" if deviation else "")


def to_target(of: Comparison) -> TextTable:
    """The cost of a value."""
    goal = f"{of.unit.value(of.target)}{of.unit.name}"
    rows = [reached_row(one) for one in of.reached]
    title = f"cost to reach {of.curve_metric} {goal}"
    return TextTable(title, ["group", "reached by", *(axis.name for axis in AXES)], rows)


def reached_row(one: Reached) -> list[str]:
    """A group's line."""
    costs = [mean_of(one.spent[axis.key]) for axis in AXES]
    return [one.label, f"{one.reached} of {one.runs}", *costs]
