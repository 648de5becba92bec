"""Tables that people have: CSV with commas, semicolons or tabs, with or without a BOM.

Every error names the file, and the line where there is one.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.core.errors import DataError
from trainer.core.suggest import did_you_mean
from trainer.core.text import beginning, count, enumerated
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.regular_file import open_regular, read_text_bytes

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
UTF_16 = b"\xff\xfe", b"\xfe\xff"  # byte order marks
FORMULA = tuple("=+-@＝＋－＠")  # before these, report.csv_file writes an apostrophe
SHOWN = 20  # columns in a message
LONGEST = 80  # characters of a cell in a message


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file as text, without blank lines, and the line each row begins on."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    sha256: str  # of the bytes that were read

    def has(self, name: str) -> bool:
        """Whether there is a column of a name, such as `id`, or else `ID`."""
        return bool(places(name, self.header))

    def column(self, name: str, setting: str) -> list[str]:
        """The cells of a column, stripped of spaces. Raises DataError where there is none.

        Capitals matter only where two columns differ in them alone.
        """
        found = places(name, self.header)
        if not found:
            hint = did_you_mean(name, self.header)
            columns = ", ".join(map(printable, self.header[:SHOWN]))
            raise DataError(
                f"{printable(self.path)} has no column {printable(name)} ({setting}).{hint} "
                f"Columns: {columns}"
            )
        if len(found) > 1:
            names = enumerated(sorted({printable(self.header[place]) for place in found}))
            raise self.fault(None, f"two columns are called {names}")
        return [row[found[0]].strip() for row in self.rows]

    def fault(self, row: int | None, text: str) -> DataError:
        """The error for a row, by its line; for the header, None."""
        line = 1 if row is None else self.lines[row]
        return DataError(f"{printable(self.path)}, line {line}: {text}")


def places(name: str, header: Sequence[str]) -> list[int]:
    """Where a header has a name; where it has it nowhere, in capitals or small letters."""
    exact = [place for place, each in enumerate(header) if each == name]
    folded = name.casefold()
    return exact or [place for place, each in enumerate(header) if each.casefold() == folded]


def read_table(
    path: str | Path, setting: str, known: Sequence[str], most: int | None = None
) -> Table:
    """Read a CSV file; its delimiter is the one by which the header has most of the `known` names.

    `setting` is the one that names the file, of at most `most` bytes. Raises DataError for a file
    that is no such table.
    """
    path = Path(path)
    data = read_bytes(path, setting, most)
    text = decoded(path, data)
    mark, header = find_header(path, text, known)
    if not header:
        raise DataError(f"{setting}={printable(path)} is empty; its first line names the columns")
    table = Table(path, header, [], [], hashlib.sha256(data).hexdigest())
    for line, row in list(cells(path, text, mark))[1:]:
        if len(row) != len(table.header):
            raise DataError(
                f"{printable(path)}, line {line}: {count(len(row), 'cell')}, but the header has "
                f"{count(len(table.header), 'column')} ({DELIMITERS[mark]} between them)"
            )
        table.rows.append(row)
        table.lines.append(line)
    if not table.rows:
        raise DataError(f"{setting}={printable(path)} has a header and no rows")
    return table


def find_header(path: Path, text: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """The delimiter that finds most of the `known` names, and the columns of the first row.

    Raises DataError for a first row that is no CSV by any delimiter.
    """
    found: dict[str, list[str]] = {}
    faults: list[DataError] = []
    for mark in DELIMITERS:
        try:
            first = next(cells(path, text, mark), (0, []))[1]
        except DataError as error:
            faults.append(error)
        else:
            found[mark] = [cell.strip() for cell in first]
    if not found:
        raise faults[0]
    names = set(known)

    def fit(mark: str) -> tuple[int, bool]:
        header = found[mark]
        return sum(bool(places(name, header)) for name in names), len(header) > 1

    best = max(found, key=fit)
    return best, found[best]


def read_text(path: Path, setting: str, most: int | None = None) -> str:
    """The text of a file of at most `most` bytes in UTF-8, without a BOM. Raises DataError."""
    return decoded(path, read_bytes(path, setting, most))


def read_bytes(path: Path, setting: str, most: int | None = None) -> bytearray:
    """The content of a file of at most `most` bytes, up to a zero byte. Raises DataError."""
    try:
        with open_regular(path) as file:
            data = read_text_bytes(file, most)
    except OSError as error:
        raise DataError(
            f"{setting}={printable(path)} cannot be read: {error.strerror or error}"
        ) from error
    if most is not None and len(data) > most:
        raise DataError(f"{setting}={printable(path)} is larger than {most / 1e6:.0f} MB")
    return data


def decoded(path: Path, data: bytes | bytearray) -> str:
    """The text of a file's content in UTF-8, without a BOM. Raises DataError."""
    if b"\0" in data and data[:2] not in UTF_16:  # UTF-16 without its mark decodes as UTF-8
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(
            f"{printable(path)}, line {line}: byte 0x00 is not text; save the file as CSV in UTF-8"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:2] in UTF_16:
            raise DataError(f"{printable(path)} is UTF-16; save it as CSV in UTF-8") from error
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{printable(path)}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save "
            "the file as CSV in UTF-8"
        ) from error


def cells(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the line it begins on.

    Raises DataError for text that is no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            most = csv.field_size_limit()
            long = f"a cell has more than {most:,} characters; shorten it, or close its quotes"
            why = long if "field limit" in str(error) else error
            raise DataError(f"{printable(path)}, line {line}: {why}") from error
        if any(cell.strip() for cell in row) and not separator_line(row, line):
            yield line, row
        line = reader.line_num + 1


def separator_line(row: list[str], line: int) -> bool:
    """Whether a row is the first line `sep=;` by which Excel is told the delimiter."""
    return line == 1 and row[0].startswith("sep=") and not any(row[1:])


def shown(cell: str) -> str:
    """A cell as a message shows it: of a long one its beginning."""
    return printable(beginning(cell, LONGEST))


def plain_cell(cell: str) -> str:
    """A cell without the apostrophe that our own tables write before what may be a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(FORMULA) else cell
