"""The console shows text as it is: no markup, no control characters, in the log file too."""

from pathlib import Path

import pytest

from trainer.report.console import Console, table


def test_brackets_and_colons_are_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    console = Console()
    console.open(tmp_path / "log")
    for text in ("r[/b]1", "[red]x", "[i]", ":smile:"):
        console.say(text)
        console.warn(text)
    console.say(table("[b]title", ["[i]"], [["[red]x"], ["[/]"]]))
    console.close()
    out, err = capsys.readouterr()
    for line in ("r[/b]1", "[red]x", "[i]", ":smile:"):
        assert f"{line}\n" in out
        assert f"warning: {line}\n" in err
    assert "[b]title" in out
    assert "│ [/]" in out
    log = (tmp_path / "log").read_text()
    assert "[red]x\nwarning: [red]x\n" in log
    assert "┃ [i]" in log


def test_no_control_character_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    console = Console()
    console.open(tmp_path / "log")
    name = "\x1b[31mx\n\u202ey\udce9"
    console.say(name)
    console.warn(name)
    console.say(table(name, [name], [[name]]))
    console.close()
    out, err = capsys.readouterr()
    shown = "\\x1b[31mx \\u202ey\\xe9"
    assert err == f"warning: {shown}\n"
    assert out.count(shown) == 4
    assert (tmp_path / "log").read_text().count(shown) == 5
    assert "\x1b" not in out
