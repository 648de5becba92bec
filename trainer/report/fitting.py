"""Fits tables to a terminal: columns as narrow as their longest word, else a paragraph a row."""

from rich.cells import cell_len
from rich.table import Table

RULES = 3  # characters between two columns


def natural_width(table: Table) -> int:
    """The width at which no cell wraps."""
    return total([max(map(cell_len, texts)) for texts in columns_of(table)])


def fitted(table: Table, width: int) -> Table | list[str]:
    """The table with columns that fit a width without breaking a word; if none do, its lines."""
    columns = columns_of(table)
    widths = [max(map(cell_len, texts)) for texts in columns]
    least = [max(cell_len(w) for text in texts for w in text.split() or [""]) for texts in columns]
    if total(least) > width:
        return paragraphs(table, columns, width)
    for _ in range(total(widths) - width):
        widest = max(range(len(widths)), key=lambda i: (widths[i] - least[i], widths[i]))
        widths[widest] -= 1
    for column, chosen in zip(table.columns, widths, strict=True):
        column.width = chosen
    return table


def total(widths: list[int]) -> int:
    """The width of a table whose columns are that wide."""
    return sum(widths) + RULES * len(widths) + 1


def columns_of(table: Table) -> list[list[str]]:
    """The texts of each column, its heading first."""
    return [[str(column.header), *map(str, column.cells)] for column in table.columns]


def paragraphs(table: Table, columns: list[list[str]], width: int) -> list[str]:
    """Lines for each row: its first cell, then the others with the names of their columns."""
    (_, *names), *rows = zip(*columns, strict=True)
    lines = [str(table.title)] if table.title else []
    for first, *cells in rows:
        lines += [first, *wrapped([f"{n} {c}" for n, c in zip(names, cells, strict=True)], width)]
    return lines


def wrapped(items: list[str], width: int) -> list[str]:
    """Indented lines of items, as many on each as fit a width."""
    lines = [f"  {items[0]}"] if items else []
    for item in items[1:]:
        if cell_len(f"{lines[-1]}, {item}") < width:
            lines[-1] += f", {item}"
        else:
            lines[-1] += ","
            lines.append(f"  {item}")
    return lines
