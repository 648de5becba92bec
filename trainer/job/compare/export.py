"""The comparison as Markdown, CSV and JSON."""

from dataclasses import asdict
from typing import Any

from trainer.core.text import escape_markdown, plain
from trainer.job.compare import sentences, worst_text
from trainer.job.compare.budgets import COSTS
from trainer.job.compare.comparison import Comparison, Row, Table
from trainer.job.compare.numbers import format_amount
from trainer.job.compare.significance import Difference, Summary
from trainer.job.compare.tables import TextTable, text_tables
from trainer.job.compare.worst import Breakdown, Part
from trainer.report.csv_file import csv_text

DIFFERENCE_COLUMNS = {  # a column of the CSV: an attribute of Difference
    "difference": "mean",
    "difference_deviation": "deviation",
    "difference_low": "low",
    "difference_high": "high",
    "p": "p",
    "p_corrected": "adjusted_p",
    "beyond_noise": "beyond_noise",
    "more_seeds": "extra_seeds",
    "correlation": "correlation",
    "seeds_unpaired": "unpaired",
}


def markdown(comparison: Comparison) -> str:
    """Format the whole comparison as Markdown."""
    baseline = plain(comparison.baseline.label).replace("`", "'")
    results = sentences.verdicts(comparison, comparison.final) + sentences.replications(comparison)
    lines = [f"# {comparison.metric}: compared with `{baseline}`", "", *bullets(results), ""]
    lines += [f"> **Note:** {escape_markdown(note)}\n" for note in sentences.notes(comparison)]
    for table in text_tables(comparison):
        lines += markdown_table(table)
    if hurt := worst_text.verdicts(comparison):
        lines += ["## Whom it helps and hurts", "", *bullets(hurt), ""]
    for table in worst_text.text_tables(comparison):
        lines += markdown_table(table)
    if comparison.equal:
        lines += ["## Verdicts at equal cost", ""]
    for table in comparison.equal:
        assert table.cost is not None  # noqa: S101  (only the final table has none)
        lines += [f"{table.metric} at {format_amount(table.budget)} {table.cost.name}:", ""]
        lines += [*bullets(sentences.verdicts(comparison, table)), ""]
    if comparison.reached:
        lines += ["## Cost to reach a value", "", *bullets(sentences.costs(comparison)), ""]
    method = sentences.method(comparison) + worst_text.method(comparison)
    lines += ["## Method", "", *bullets(method)]
    return "\n".join(lines) + "\n"


def markdown_table(table: TextTable) -> list[str]:
    """Format a table under its title."""
    lines = [f"## {escape_markdown(table.title)}", "", markdown_row(table.columns)]
    return [*lines, markdown_row(["---"] * len(table.columns)), *map(markdown_row, table.rows), ""]


def bullets(lines: list[str]) -> list[str]:
    """Format lines as a Markdown list."""
    return [f"- {escape_markdown(line)}" for line in lines]


def markdown_row(cells: list[str]) -> str:
    """Format a row of a Markdown table."""
    return f"| {' | '.join(map(escape_markdown, cells))} |"


def table_csv(comparison: Comparison) -> str:
    """Return a CSV with a line per group and table, all numbers unrounded."""
    return to_csv(table_records(comparison))


def table_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows of all tables as records."""
    tables = (comparison.final, *comparison.equal)
    return [table_record(comparison, table, row) for table in tables for row in table.rows]


def table_record(comparison: Comparison, table: Table, row: Row) -> dict[str, Any]:
    """Return a group's row of a table as a record, by column of the CSV."""
    return {
        "metric": table.metric,
        "at_equal": None if table.cost is None else table.cost.key,
        "budget": table.budget,
        "taken_at": row.cost,
        "group": row.label,
        "baseline": row.label == comparison.baseline.label,
        **numbers(comparison, row.summary, row.difference),
        **images_of(row),
    }


def images_of(row: Row) -> dict[str, float | None]:
    """Return the interval for new images by column of the CSV."""
    low, high = (
        (None, None) if row.images is None or row.images.bounds is None else row.images.bounds
    )
    return {"images_low": low, "images_high": high}


def numbers(
    comparison: Comparison, summary: Summary, difference: Difference | None
) -> dict[str, Any]:
    """Return a summary and a difference, whose test may be None, by column of the CSV."""
    return {
        "seeds": summary.n,
        "mean": summary.mean,
        "deviation": summary.deviation,
        "low": summary.low,
        "high": summary.high,
        "test": difference and kind_of(comparison, difference),
        **{
            column: None if difference is None else getattr(difference, attribute)
            for column, attribute in DIFFERENCE_COLUMNS.items()
        },
    }


def part_records(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Return `by_class` and `by_group`: a record per group of runs and class or group of images."""
    return {
        f"by_{found.kind}": [
            part_record(comparison, found, part, part is worst)
            for label, own in found.parts.items()
            for worst in [found.worst(label)]
            for part in own
        ]
        for found in comparison.breakdowns
    }


def part_record(
    comparison: Comparison, found: Breakdown, part: Part, worst: bool
) -> dict[str, Any]:
    """Return a class or a group of images of a group of runs as a record."""
    record = {
        "metric": f"{found.split}/{found.measure}",
        "group": part.label,
        "baseline": part.label == comparison.baseline.label,
        "kind": found.kind,
        "name": part.name,
        "images": part.examples,
        "worst": worst,
        **numbers(comparison, part.summary, part.difference),
    }
    for name in ("more_seeds", "seeds_unpaired"):
        record.pop(name)  # not computed for each
    return record


def part_csvs(comparison: Comparison) -> dict[str, str]:
    """Return the records as CSV by file: `by_class.csv` and `by_group.csv`."""
    return {f"{name}.csv": to_csv(records) for name, records in part_records(comparison).items()}


def kind_of(comparison: Comparison, difference: Difference) -> str:
    """Name the test of a difference: paired, none, or the interval's for two samples."""
    return comparison.interval.unpaired if difference.kind == "Welch" else difference.kind


def runs_csv(comparison: Comparison) -> str:
    """Return a CSV with a line per run, skipped ones included."""
    records: list[dict[str, Any]] = [
        {
            "folder": str(run.folder),
            "group": group.label,
            "seed": run.seed,
            comparison.metric: run.final(comparison.metric),
            **{cost.key: run.spent(cost.key) for cost in COSTS},
            "left_out": None,
        }
        for group in comparison.groups
        for run in group.runs
    ]
    records += [{"folder": str(run.folder), "left_out": run.reason} for run in comparison.skipped]
    return to_csv(records)


def to_csv(records: list[dict[str, Any]]) -> str:
    """Format records as CSV, with the keys of the first as the header."""
    keys = list(records[0])
    return csv_text([keys, *([record.get(key) for key in keys] for record in records)])


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the whole comparison as plain containers for JSON."""
    tables = (comparison.final, *comparison.equal)
    values = [row.summary.values for table in tables for row in table.rows]
    return {
        "metric": comparison.metric,
        "mode": comparison.mode,
        "interval": {"method": comparison.interval.about, "level": comparison.interval.level},
        "correction": comparison.correction,
        "baseline": comparison.baseline.label,
        "groups": [
            {
                "label": group.label,
                "settings": group.choices,
                "seeds": group.seeds,
                "runs": [str(run.folder) for run in group.runs],
            }
            for group in comparison.groups
        ],
        "tables": [
            record | {"values": by_seed}
            for record, by_seed in zip(table_records(comparison), values, strict=True)
        ],
        "target": comparison.target,
        "reached": [asdict(reached) for reached in comparison.reached],
        "left_out": [
            {"folder": str(run.folder), "reason": run.reason} for run in comparison.skipped
        ],
        **part_records(comparison),
        "notes": sentences.notes(comparison),
        "verdicts": sentences.verdicts(comparison, comparison.final),
        **({"hurt": worst_text.verdicts(comparison)} if comparison.breakdowns else {}),
    }
