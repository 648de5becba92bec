"""The comparison as one HTML file: no script, nothing fetched, light and dark, fit for print."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

from trainer.core.text import count, escape_html
from trainer.job.compare import sentences, tables, worst_text
from trainer.job.compare.comparison import Comparison
from trainer.job.compare.disagreements import Disagreement
from trainer.job.compare.html import charts
from trainer.job.compare.html.examples import example_lists
from trainer.job.compare.html.seeds import seeds_charts
from trainer.job.compare.tables import TextTable

TEMPLATE = Path(__file__).with_name("page.html")
TEXT_COLUMNS = ("verdict", "reason")


def page(
    comparison: Comparison,
    disagreements: Sequence[Disagreement] = (),
    classes: Sequence[str] = (),
    images: Mapping[int, str] | None = None,
    missing: str = "",
) -> str:
    """Return the page. `images` are URIs by dataset id; `missing` says why there are none."""
    baseline = comparison.baseline.label
    examples = example_lists(baseline, disagreements, classes, images or {}, missing)
    sections = {
        "Final results": charts.final_charts(comparison)
        + seeds_charts(comparison)
        + html_table(tables.final_table(comparison))
        + "".join(map(html_table, tables.difference_table(comparison)))
        + html_table(tables.cost_table(comparison)),
        "Whom it helps and hurts": bullets(worst_text.verdicts(comparison))
        + "".join(map(html_table, worst_text.text_tables(comparison))),
        "During training": charts.progress_charts(comparison),
        "At equal cost": equal_cost(comparison),
        "Cost and result": charts.cost_charts(comparison),
        "Cost to reach a value": bullets(sentences.costs(comparison))
        + "".join(map(html_table, tables.target_table(comparison))),
        "Examples on which the groups disagree": examples,
        "Skipped runs": "".join(map(html_table, tables.skipped_table(comparison))),
        "Method": bullets(sentences.method(comparison) + worst_text.method(comparison)),
    }
    body = header(comparison) + "".join(
        f"<section><h2>{title}</h2>{content}</section>"
        for title, content in sections.items()
        if content
    )
    title = f"{comparison.metric} of {count(len(comparison.groups), 'group')}"
    template = Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=escape_html(title), body=body)


def header(comparison: Comparison) -> str:
    """Return the heading: the groups compared, the verdicts and the caveats."""
    labels = [group.label for group in comparison.groups]
    runs = sum(len(group.runs) for group in comparison.groups)
    about = f"{count(runs, 'run')} in {count(len(labels), 'group')}"
    about += f", compared with {comparison.baseline.label}"
    skipped = len(comparison.skipped)
    about += f"; {skipped} skipped" if skipped else ""
    results = sentences.verdicts(comparison, comparison.final) + sentences.replications(comparison)
    notes = "".join(f'<p class="note">{escape_html(n)}</p>' for n in sentences.notes(comparison))
    return (
        f"<header><h1>{escape_html(comparison.metric)}</h1><p>{escape_html(about)}</p>"
        f"{charts.legend(labels)}</header>{bullets(results)}{notes}"
    )


def equal_cost(comparison: Comparison) -> str:
    """Return a table per cost, each with its verdicts."""
    return "".join(
        html_table(tables.metric_table(comparison, table))
        + bullets(sentences.verdicts(comparison, table))
        for table in comparison.equal
    )


def bullets(lines: Sequence[str]) -> str:
    """Return a list of sentences, or nothing if there are none."""
    entries = "".join(f"<li>{escape_html(line)}</li>" for line in lines)
    return f'<ul class="sentences">{entries}</ul>' if entries else ""


def html_table(table: TextTable) -> str:
    """Return a table captioned by its title; the first column heads the rows."""
    classes = ["text" if name in TEXT_COLUMNS else "" for name in table.columns]
    header = "".join(
        f'<th scope="col" class="{css}">{breakable(name)}</th>'
        for name, css in zip(table.columns, classes, strict=True)
    )
    rows = "".join(f"<tr>{html_row(row, classes)}</tr>" for row in table.rows)
    return (
        f"<table><caption>{escape_html(table.title)}</caption>"
        f"<thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"
    )


def breakable(name: str) -> str:
    """Return the name of a column, as HTML, that may be broken after `/` and `_`."""
    return re.sub("([/_])", r"\1<wbr>", escape_html(name))


def html_row(row: Sequence[str], classes: Sequence[str]) -> str:
    """Return the cells of a row; a verdict beyond noise is coloured."""
    cells = "".join(
        f'<td class="{css} {cell if cell in ("better", "worse") else ""}">{escape_html(cell)}</td>'
        for cell, css in zip(row[1:], classes[1:], strict=True)
    )
    return f'<th scope="row">{escape_html(row[0])}</th>{cells}'
