"""Tables and sentences on terminals of any width, and under a pipe."""

from io import StringIO

import pytest

from trainer.report.console import Console, rich_console, show, table
from trainer.report.fitting import fitted, natural_width

ROWS = [["mining=ohem optimizer.lr=0.001", "93.31 ± 0.56", "within noise (+167 seeds)"]]
COLUMNS = ["group", "test/accuracy (%)", "verdict"]
WORDS = {word for text in [*ROWS[0], *COLUMNS[1:]] for word in text.split()}


def printed(width: int, *, terminal: bool) -> list[str]:
    """The lines of the table on a screen of a width."""
    screen = rich_console(width=width, file=StringIO(), force_terminal=terminal, color_system=None)
    show(screen, table("at the end", COLUMNS, ROWS))
    return screen.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 120])
def test_no_word_is_broken_on_a_terminal(width: int) -> None:
    lines = printed(width, terminal=True)
    words = " ".join(lines).replace(",", "").split()
    assert set(words) >= WORDS
    assert max(map(len, lines)) <= width


def test_under_a_pipe_a_table_is_as_wide_as_it_is() -> None:
    (line,) = [line for line in printed(40, terminal=False) if "ohem" in line]
    assert all(cell in line for cell in ROWS[0])
    assert "…" not in line


def test_a_table_that_fits_is_left_alone() -> None:
    made = table("", COLUMNS, ROWS)
    assert natural_width(made) == len("".join(ROWS[0])) + 5 + 3 * 3 + 1
    assert fitted(made, natural_width(made)) is made
    assert [column.width for column in made.columns] == [30, 17, 25]


def test_sentences_wrap_between_words_and_lines_to_paste_stay_whole() -> None:
    sentence = "no word of this sentence may be cut in two, wherever it is " * 3
    path = f"dashboard     tensorboard --logdir {'x' * 60}"
    for content, lines in ((sentence, 5), (path, 1)):
        screen = rich_console(width=40, file=StringIO(), force_terminal=True, color_system=None)
        show(screen, content)
        found = screen.file.getvalue().splitlines()
        assert len(found) == lines
        assert "\n".join(found).split() == content.split()


def test_the_log_has_whole_tables(tmp_path) -> None:
    console = Console(quiet=True)
    console.open(tmp_path / "train.log")
    console.say(table("", COLUMNS, [["x" * 150, "1", "2"]]))
    console.close()
    assert "x" * 150 in (tmp_path / "train.log").read_text()
