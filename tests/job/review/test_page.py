"""The review page in a real browser: keys, undo, filter, reload, and the file that it saves."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import pytest
from browser import Page, chromium, needs_chromium

from trainer.job.review.page import Card, Neighbour, page

PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAAC"
MORE = tuple(f"class {i}" for i in range(70))
CLASSES = ("cat", "dog", "=SUM(1)", "</script><b>", 'a "quoted", name', *MORE)
ANOTHER_TAB = """localStorage.setItem(
    KEY, JSON.stringify([...decisions, { id: 1, action: "drop", label: "cat", when: "then" }]))"""


def card(number: int, label: str, suggested: str) -> Card:
    neighbours = (Neighbour(9, "dog"), Neighbour(8, "<i>"))
    return Card(number, f"d/{number}.png", label, suggested, "91%", ("because",), neighbours)


CARDS = (
    card(3, "cat", "dog"),
    card(1, "cat", "dog"),
    card(4, "dog", "cat"),
    card(5, "dog", "=SUM(1)"),
    card(7, "</script><b>", 'a "quoted", name'),
)


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("review") / "review.html"
    images = dict.fromkeys((1, 3, 4, 5, 7, 8, 9), PIXEL)
    path.write_text(page("runs/<a> & b", CLASSES, CARDS, images), encoding="utf-8")
    return path


def test_the_page_stands_alone(review: Path) -> None:
    text = review.read_text()
    assert text.count("</script>") == 2
    assert not re.search(r"(src|href)=[\"']?(https?:)?//|@import|fetch\(|XMLHttp", text)
    assert "<title>runs/&lt;a&gt; &amp; b</title>" in text
    assert "default-src 'none'" in text


def saved(shown: Page, downloads: Path) -> list[dict[str, str]]:
    """Press the key that saves, and read the file."""
    path = downloads / "corrections.csv"
    path.unlink(missing_ok=True)
    shown.press("w")
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text()) and time.monotonic() < end:
        shown.evaluate("1")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@needs_chromium
def test_a_review_by_keys(review: Path, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as shown:
        shown.open(review, tmp_path)
        assert shown.text("label") == "cat"
        assert shown.text("progress") == "0 of 5 reviewed"
        shown.press("s", "K", "d")  # K under caps lock
        shown.call("Input.dispatchKeyEvent", type="keyDown", text="d", key="d", autoRepeat=True)
        assert shown.text("progress") == "3 of 5 reviewed"  # a key held down decides one card
        assert shown.text("path") == "d/5.png"
        shown.press("z")  # the drop is undone
        assert (shown.text("path"), shown.text("decision")) == ("d/4.png", "")
        shown.press("u", "r", *"=sum", "Enter")
        assert shown.text("path") == "d/7.png"
        shown.press("1")  # the first class by its digit
        assert shown.text("progress") == "5 of 5 reviewed"
        rows = saved(shown, tmp_path)
        shown.open(review, tmp_path)  # as after a crash
        assert shown.text("progress") == "5 of 5 reviewed"
        assert saved(shown, tmp_path) == rows
        shown.press("f")
        assert shown.evaluate("document.getElementById('pairs').value") == "cat → dog"
        assert shown.text("progress") == "2 of 2 reviewed"
        shown.press("ArrowRight", "d")  # another decision on a card
        assert saved(shown, tmp_path)[1]["action"] == "drop"
        shown.evaluate(ANOTHER_TAB)
        shown.press("z")  # another tab's decision is the last
        assert (shown.text("path"), shown.text("decision")) == ("d/1.png", "dropped")
        shown.evaluate(ANOTHER_TAB)
        shown.press("ArrowLeft", "d")
        assert shown.text("progress") == "2 of 2 reviewed"
        assert [row["when"] for row in saved(shown, tmp_path)[1:2]] == ["then"]
        assert shown.text("classes").endswith("and 15 more: press r, then type a part of the name")
        shown.press("r", *"class 69", "Enter")  # of which no button was shown
        assert saved(shown, tmp_path)[0]["label"] == "class 69"
        assert shown.errors == []
    assert [(r["id"], r["path"], r["label"], r["action"]) for r in rows] == [
        ("3", "d/3.png", "dog", "relabel"),
        ("1", "d/1.png", "cat", "keep"),
        ("4", "d/4.png", "dog", "unsure"),
        ("5", "d/5.png", "'=SUM(1)", "relabel"),
        ("7", "d/7.png", "cat", "relabel"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", r["when"]) for r in rows)
