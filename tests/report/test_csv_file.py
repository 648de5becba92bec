"""A spreadsheet evaluates no text of a CSV file; numbers stay numbers."""

import csv
import os
from pathlib import Path

import pytest

from trainer.report.csv_file import csv_text, escape_formula, short_lines, write_csv


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-"]
)
def test_text_that_begins_like_a_formula_is_protected(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["-0.5", "+3", "-1e-05", "-inf", -0.5, 3, None, "a=1", "", "–"])
def test_numbers_and_other_text_stay(cell: object) -> None:
    assert escape_formula(cell) == cell


def test_a_file_is_utf_8_and_takes_any_name(tmp_path: Path) -> None:
    rows = [["=name", "value"], ["甲", -0.5], ["caf\udce9", "-2.5"], ["@x", None]]
    write_csv(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["'=name", "value"],
            ["甲", "-0.5"],
            ["caf\\udce9", "-2.5"],
            ["'@x", ""],
        ]
    assert csv_text(rows[:2]) == "'=name,value\n甲,-0.5\n"


def test_an_endless_line_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,weight\r\n1,2\n")
    with path.open(newline="") as file:
        assert list(csv.DictReader(short_lines(file))) == [{"id": "1", "weight": "2"}]
    os.truncate(path, 2**33)
    with path.open(newline="") as file, pytest.raises(ValueError, match="more than 16,777,216"):
        list(csv.DictReader(short_lines(file)))
