"""The image files or texts that a person names: a file, a folder, a pattern, or a CSV file."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from pathlib import Path

from trainer.core.errors import DataError
from trainer.dataset.shared.class_folders import ImageList, describe_left_out
from trainer.dataset.shared.decode import SUFFIXES, printable
from trainer.dataset.shared.table import plain_cell, read_table, read_text

TABLES = (".csv", ".tsv")
COLUMN = "path"
LINE_BREAK = r"\r\n|\r|\n"  # not those within a line, which str.splitlines takes for ends, too


def files_of(source: str) -> tuple[list[str], str | None]:
    """Return the image files of a source, and what to say about files left out, if any.

    A folder is searched at any depth and in order, without hidden files and those that are not
    images by their suffix. A pattern is one of Python's `glob`, where ** is any number of folders.
    A CSV file lists them in the column `path`, relative to its own folder or the current one.
    Raises DataError if there are none.
    """
    path = Path(source)
    left_out: Counter[str] = Counter()
    if path.is_dir():
        images = ImageList(path)
        files, left_out = images.paths, images.left_out
    elif path.is_file():
        files = listed(path) if path.suffix.lower() in TABLES else [source]
    elif glob.has_magic(source):
        files, left_out = matching(source)
    else:
        raise DataError(f"source={printable(source)}: no such file or folder")
    if not files:
        found = f", but {describe_left_out(left_out)}" if left_out else ""
        known = " ".join(sorted(SUFFIXES))
        raise DataError(f"source={printable(source)} has no images ({known}){found}")
    note = f"source: {describe_left_out(left_out)} left out" if left_out else None
    return files, note


def texts_of(source: str, column: str) -> tuple[list[str], dict[str, str]]:
    """Return the texts of a file, and the places of those that are empty, with a reason.

    Texts are the `column` of a CSV file, or else a text a line, where blank lines are none. Raises
    DataError if there are none.
    """
    path, empty = Path(source), {}
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        raise DataError(
            f"source={printable(source)}: the model reads texts; give a CSV file with the column "
            f"{printable(column)}, or a text file with a text a line"
        )
    if path.suffix.lower() in TABLES:
        rows = read_table(path, "source", (column,))
        cells = rows.column(column, "source")
        texts = [plain_cell(cell) for cell in cells if cell]
        places = [f"{printable(path)}, line {rows.lines[i]}" for i, c in enumerate(cells) if not c]
        empty = dict.fromkeys(places, f"{printable(column)} is empty")
    else:
        lines = re.split(LINE_BREAK, read_text(path, "source"))
        texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise DataError(f"source={printable(source)} has no text")
    return texts, empty


def matching(pattern: str) -> tuple[list[str], Counter[str]]:
    """Return the image files that a pattern matches, sorted, and the suffixes of the others."""
    found = [path for path in sorted(glob.glob(pattern, recursive=True)) if Path(path).is_file()]  # noqa: PTH207
    files = [path for path in found if Path(path).suffix.lower() in SUFFIXES]
    others = (Path(path).suffix.lower() for path in found if path not in set(files))
    return files, Counter(printable(suffix) or "without suffix" for suffix in others)


def listed(table: Path) -> list[str]:
    """Return the files that a CSV file lists. Raises DataError, with its line, for a bad row."""
    rows = read_table(table, "source", (COLUMN,))
    files = []
    for i, cell in enumerate(rows.column(COLUMN, "source")):
        if not cell:
            raise rows.fault(i, f"{COLUMN} is empty")
        name = plain_cell(cell)
        beside = str(table.parent / name)  # an absolute name stays as it is
        files.append(name if os.path.exists(name) and not os.path.exists(beside) else beside)  # noqa: PTH110
    return files
