"""Text of others is shown as one line of visible characters."""

import io
import sys

import pytest

from trainer.core.errors import complain
from trainer.core.text import (
    count,
    enumerated,
    escape_html,
    escape_markdown,
    plain,
    replace_unencodable,
)
from trainer.storage.trained_on import shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Käfer – 甲虫 🐞", "Käfer – 甲虫 🐞"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\r\nc\td\u2028e\x85f", "a b  c d e f"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("\u202egnp.exe\u2066\u200f", "\\u202egnp.exe\\u2066\\u200f"),
        ("caf\udce9 \ud800", "caf\\xe9 \\ud800"),
        ("क्\u200dष", "क्\u200dष"),  # a joiner that Devanagari needs
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown
    plain(text).encode()


def test_nothing_is_markup() -> None:
    assert escape_markdown("[a](b) `c` *d* <e> | f\\\n# g") == (
        "\\[a\\](b) \\`c\\` \\*d\\* \\<e> \\| f\\\\ # g"
    )
    assert escape_html('<b title="x">\x1b\n') == "&lt;b title=&quot;x&quot;&gt;\\x1b "


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain("two\nlines \x1b[2J\u202e")
    assert capsys.readouterr().err == "two lines \\x1b[2J\\u202e\n"


def test_what_a_terminal_cannot_show_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = io.BytesIO(), io.BytesIO()
    for name, stream in zip(("stdout", "stderr"), streams, strict=True):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding="cp1252"))
    replace_unencodable()
    for stream in (sys.stdout, sys.stderr):
        stream.write("é 甲 −")
        stream.flush()
    assert [stream.getvalue() for stream in streams] == ["é ? ?".encode("cp1252")] * 2


def test_an_error_on_a_terminal_wraps_between_words_and_its_command_stays_whole(
    monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    complain(
        "stopped by signal 2, and all that was to be saved is saved; continue with " + "x " * 20
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "stopped by signal 2, and all",
        "that was to be saved is saved;",
        "continue with",
        "x " * 19 + "x",
    ]
    complain("stopped; continue with x")
    assert capsys.readouterr().err == "stopped; continue with x\n"


def test_a_number_has_its_noun() -> None:
    assert [count(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert count(2000, "class", plural="classes", form=",") == "2,000 classes"
    assert count(1.0, "step", form=".10g") == "1 step"


def test_a_name_with_a_comma_is_quoted() -> None:
    assert enumerated(["cat", "dog, big"]) == "cat, 'dog, big'"
    assert shown(("cat", "dog, big"), ()) == "[cat, 'dog, big']"
