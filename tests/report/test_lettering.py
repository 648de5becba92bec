"""Text in pictures: every character has a font or is written in others; nothing is a box."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageDraw

from trainer.report import lettering
from trainer.report.lettering import draw_text, font_of, legible, runs, shortened, text_width
from trainer.report.lettering import installed as find_installed
from trainer.report.plots import legend_name, new_axes, render


@pytest.fixture(autouse=True)
def only_our_own_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine where no fonts are installed."""
    caches = (lettering.legible, lettering.drawable, lettering.font_of)
    for cached in caches:
        cached.cache_clear()
    monkeypatch.setattr(lettering, "installed", lambda: ())
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize("text", ["Kätzchen", "größe", "naïve", "Øre", "кот", "γάτα", "a → ½ m²"])
def test_what_the_font_has_is_drawn_as_it_is(text: str) -> None:
    assert legible(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("猫", "U+732B"),
        ("猫犬 2", "U+732B U+72AC  2"),
        ("ねこ", "neko"),
        ("고양이", "goyangi"),
        ("हि", "hai"),
        ("a\u0308", "ä"),
        ("a\nb\x1b[31m", "a b\\x1b[31m"),
        ("", ""),
    ],
)
def test_other_characters_are_written_in_latin_letters(text: str, expected: str) -> None:
    assert legible(text) == expected
    assert all(font_of(character) for character in expected)


def test_fonts_of_boxes_are_left_out_and_those_for_screens_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = [
        "/f/LastResort.otf",
        "/f/A.ttf",
        "/f/NotoSansCJK-Bold.ttc",
        "/f/NotoSansCJK-Regular.ttc",
    ]
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: paths)
    assert find_installed.__wrapped__() == (paths[3], paths[2], paths[1])


def test_a_font_that_is_installed_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "installed", lambda: ("/fonts/other.ttf", "/fonts/cjk.ttf"))
    own = lettering.own_font()
    known = {own: set(map(ord, "ab ")), "/fonts/cjk.ttf": {ord("猫")}}
    monkeypatch.setattr(lettering, "characters", lambda path: known.get(path, set()))
    assert runs("a 猫b") == [(own, "a "), ("/fonts/cjk.ttf", "猫"), (own, "b")]


@pytest.mark.parametrize("keep_end", [False, True])
def test_a_text_is_cut_to_its_width(keep_end: bool) -> None:
    text = "IMG_20190812_123456_holiday.jpeg"
    short = shortened(text, 100, keep_end=keep_end)
    assert text_width(short) <= 100 < text_width(text)
    assert short.count("…") == 1
    assert short.startswith("IMG_")
    assert short.endswith(".jpeg" if keep_end else "…")
    assert shortened("short.jpg", 100, keep_end=keep_end) == "short.jpg"
    assert shortened("猫" * 99, 100).endswith("…")


def test_letters_stay_in_their_line() -> None:
    image = Image.new("RGB", (200, 40), "white")
    draw_text(ImageDraw.Draw(image), (10, 10), "Ägyptjy")
    rows, columns = np.nonzero((np.asarray(image) < 200).any(2))
    assert rows.min() >= 8
    assert rows.max() < 10 + lettering.LINE + 1
    assert columns.min() >= 10
    assert columns.max() <= 10 + text_width("Ägyptjy")


@pytest.mark.parametrize(
    "name", ["$x$", r"$\frac$", "_hidden", "\ud800", "\x1b[31m", "猫", "x" * 10**6]
)
def test_a_legend_shows_any_name(name: str) -> None:
    """matplotlib takes `$` for a formula, and leaves out what begins with `_`."""
    axes = new_axes("x", "y")
    axes.plot([0, 1], [0, 1], label=legend_name(name))
    legend = axes.figure.legend()
    render(axes)
    (text,) = legend.get_texts()
    assert text.get_window_extent().width > 5
    assert len(text.get_text()) < 100
