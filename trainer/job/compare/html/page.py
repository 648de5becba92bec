"""The comparison as one HTML file: no script, nothing fetched, light and dark, fit for print."""

from collections.abc import Mapping, Sequence
from html import escape

from trainer.job.compare import sentences
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.disagreements import Disagreement
from trainer.job.compare.html import svg
from trainer.job.compare.html.charts import costs, finals, progress
from trainer.job.compare.html.examples import examples
from trainer.job.compare.html.style import STYLE
from trainer.job.compare.tables import TextTable, sheets

TEXT = ("verdict", "why")  # columns
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    of: Comparison,
    found: Sequence[Disagreement] = (),
    names: Sequence[str] = (),
    images: Mapping[int, str] | None = None,
    missing: str = "",
) -> str:
    """The whole file. `missing` says why there are no images of examples."""
    tables = sheets(of)
    body = [
        head(of),
        said("", sentences.verdicts(of, of.final) + sentences.replications(of)),
        *(f'<p class="note">{escape(note)}</p>' for note in sentences.notes(of)),
        section("At the end", finals(of) + table(tables[0]) + table(tables[1])),
        section("On the way", progress(of)),
        section("At equal cost", equal(of, tables[2 : 2 + len(of.equal)])),
        section("Cost against the result", costs(of)),
        section("Cost of a value", said("", sentences.costs(of)) + rest(tables, "cost to reach")),
        section(
            "Examples that one gets right and the other does not",
            examples(of, found, names, images or {}, missing),
        ),
        section("Left out", rest(tables, "left out")),
        section("How", said("", sentences.method(of))),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(of.metric)} of {len(of.groups)} groups</title>"
        f"<style>{STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


def head(of: Comparison) -> str:
    """What is compared."""
    runs = sum(len(one.runs) for one in of.groups)
    about = f"{runs} runs in {len(of.groups)} groups, compared with {of.baseline.label}"
    left = f"; {len(of.left)} folders left out" if of.left else ""
    legend = svg.legend(one.label for one in of.groups)
    return f"<header><h1>{escape(of.metric)}</h1><p>{escape(about + left)}</p>{legend}</header>"


def section(title: str, content: str) -> str:
    """A part of the page; none where it is empty."""
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def said(title: str, lines: Sequence[str]) -> str:
    """Sentences."""
    if not lines:
        return ""
    entries = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"{f'<h3>{escape(title)}</h3>' if title else ''}<ul class='words'>{entries}</ul>"


def table(sheet: TextTable) -> str:
    """A table with its title; the first column is a heading of its row."""
    kinds = ["text" if name in TEXT else "" for name in sheet.columns]
    header = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>'
        for name, kind in zip(sheet.columns, kinds, strict=True)
    )
    lines = [
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(
            f'<td class="{kind} {mark(cell)}">{escape(cell)}</td>'
            for cell, kind in zip(row[1:], kinds[1:], strict=True)
        )
        + "</tr>"
        for row in sheet.rows
    ]
    caption = f"<caption>{escape(sheet.title)}</caption>"
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{header}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def mark(cell: str) -> str:
    """The colour of a verdict."""
    return cell if cell in ("better", "worse") else ""


def rest(tables: Sequence[TextTable], title: str) -> str:
    """The tables whose title begins so."""
    return "".join(table(sheet) for sheet in tables if sheet.title.startswith(title))


def equal(of: Comparison, tables: Sequence[TextTable]) -> str:
    """A table for each cost, with what it says."""
    parts = []
    for one, sheet in zip(of.equal, tables, strict=True):
        parts.append(table(sheet) + said("", sentences.verdicts(of, one)))
    return "".join(parts)
