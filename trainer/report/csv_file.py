"""CSV files that a spreadsheet opens without evaluating any of their text."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

LONGEST = 2**24  # characters of a line
FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # first characters that a spreadsheet would evaluate
NUMBER = re.compile(r"[+-]?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)", re.IGNORECASE)


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows, the header first, as a CSV file in UTF-8."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([escape_formula(cell) for cell in row] for row in rows)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Return rows, the header first, as the text of a CSV file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([escape_formula(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def escape_formula(cell: Any) -> Any:
    """Prefix text that a spreadsheet would evaluate with an apostrophe; -0.5 is a number."""
    if isinstance(cell, str) and cell.startswith(FORMULA) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def short_lines(file: TextIO) -> Iterator[str]:
    """The lines of a file of somebody else. Raises ValueError for an endless one."""
    while line := file.readline(LONGEST):
        if len(line) == LONGEST:
            raise ValueError(f"a line has more than {LONGEST:,} characters")
        yield line
