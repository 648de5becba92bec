"""The comparison as Markdown, CSV and JSON."""

import csv
import io
from dataclasses import asdict
from typing import Any

from trainer.job.compare import sentences
from trainer.job.compare.budgets import AXES
from trainer.job.compare.comparison import Comparison, Row, Table
from trainer.job.compare.numbers import amount
from trainer.job.compare.tables import sheets

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run


def markdown(of: Comparison) -> str:
    """The whole comparison."""
    lines = [f"# {of.metric}: compared with `{code(of.baseline.label)}`", ""]
    told = sentences.verdicts(of, of.final) + sentences.replications(of)
    lines += [f"- {plain(line)}" for line in told]
    lines += ["", *(f"> **Note:** {plain(note)}\n" for note in sentences.notes(of))]
    for sheet in sheets(of):
        lines += [f"## {plain(sheet.title)}", "", line_of(sheet.columns)]
        lines += [line_of(["---"] * len(sheet.columns)), *map(line_of, sheet.rows), ""]
    lines += ["## In words", ""]
    for table in of.equal:
        assert table.axis is not None  # noqa: S101  (only the final one has none)
        lines += [f"At equal {table.axis.name} ({amount(table.budget)}), {table.metric}:", ""]
        lines += [*(f"- {plain(line)}" for line in sentences.verdicts(of, table)), ""]
    lines += [*(f"- {plain(line)}" for line in sentences.costs(of)), "", "## How", ""]
    lines += [f"- {line}" for line in sentences.method(of)]
    return "\n".join(lines) + "\n"


def line_of(cells: list[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(plain, cells))} |"


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    for character in "\\`*[]<|":
        text = text.replace(character, f"\\{character}")
    return text


def code(text: str) -> str:
    """Text between backticks."""
    return text.replace("`", "'")


def table_csv(of: Comparison) -> str:
    """A line for each group in each table, all numbers unrounded."""
    records = [record(of, table, row) for table in (of.final, *of.equal) for row in table.rows]
    return written(records)


def record(of: Comparison, table: Table, row: Row) -> dict[str, Any]:
    """A group in a table."""
    found, held = row.difference, row.summary
    kind = None if found is None else found.kind
    return {
        "metric": table.metric,
        "at_equal": None if table.axis is None else table.axis.key,
        "budget": table.budget,
        "taken_at": row.at,
        "group": row.label,
        "baseline": row.label == of.baseline.label,
        "seeds": held.n,
        "mean": held.mean,
        "deviation": held.deviation,
        "low": held.low,
        "high": held.high,
        "test": kind,
        **{
            name: None if found is None else getattr(found, field)
            for name, field in {
                "difference": "mean",
                "difference_deviation": "deviation",
                "difference_low": "low",
                "difference_high": "high",
                "p": "p",
                "p_corrected": "adjusted",
                "beyond_noise": "beyond",
                "more_seeds": "more",
            }.items()
        },
    }


def runs_csv(of: Comparison) -> str:
    """A line for each run, those left out too."""
    records: list[dict[str, Any]] = [
        {
            "folder": str(run.folder),
            "group": one.label,
            "seed": run.seed,
            of.metric: run.final(of.metric),
            **{axis.key: run.spent(axis.key) for axis in AXES},
            "left_out": None,
        }
        for one in of.groups
        for run in one.runs
    ]
    records += [{"folder": str(one.folder), "left_out": one.reason} for one in of.left]
    return written(records)


def written(records: list[dict[str, Any]]) -> str:
    """A CSV with a header; text that a spreadsheet would run is quoted with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for one in records:
        writer.writerow({key: harmless(value) for key, value in one.items()})
    return buffer.getvalue()


def harmless(value: Any) -> Any:
    """A cell that is data in a spreadsheet too."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_json(of: Comparison) -> dict[str, Any]:
    """The whole comparison as plain containers."""
    return {
        "metric": of.metric,
        "mode": of.mode,
        "interval": {"method": of.interval.about, "level": of.interval.level},
        "correction": of.correction,
        "baseline": of.baseline.label,
        "groups": [
            {
                "label": one.label,
                "settings": one.choices,
                "seeds": one.seeds,
                "runs": [str(run.folder) for run in one.runs],
            }
            for one in of.groups
        ],
        "tables": [
            record(of, table, row) | {"values": row.summary.values}
            for table in (of.final, *of.equal)
            for row in table.rows
        ],
        "target": of.target,
        "reached": [asdict(one) for one in of.reached],
        "left_out": [{"folder": str(one.folder), "reason": one.reason} for one in of.left],
        "notes": sentences.notes(of),
        "verdicts": sentences.verdicts(of, of.final),
    }
