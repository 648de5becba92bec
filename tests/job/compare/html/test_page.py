"""The page stands alone, is well formed, and shows a hostile name as text."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from trainer.compare.t import StudentT
from trainer.job.compare.comparison import compare
from trainer.job.compare.disagreements import Disagreement, Example
from trainer.job.compare.html.axes import Axes, robust, span, ticks
from trainer.job.compare.html.page import page
from trainer.job.compare.runs import find, read

VOID = {"meta", "img", "br", "hr", "link", "input"}
SCRIPT = '<script>alert("1")</script><img src=x onerror=alert(1)>'


class Checker(HTMLParser):
    """Collects the tags, and that each is closed in its order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def checked(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert "script" not in checker.tags
    assert not {"link", "iframe", "object", "base", "form"} & set(checker.tags)
    for name, value in checker.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "data", "action", "srcset"):
            assert value.startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", html)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314  (our own)
    return checker


def compared(folder, **settings):
    return compare([read(run) for run in find([str(folder)])], interval=StudentT(), **settings)


def example(number, label=3, prediction=5):
    return Example(number, label, 3, 3, 0, 1.25, prediction)


def test_it_holds_everything_and_stands_alone(three, make):
    make("stopped", 3, 0.9, state="failed")
    found = [Disagreement("mining=ohem", [example(7), example(8)], [], 40, 0)]
    uri = "data:image/png;base64,AAAA"
    html = page(compared(three), found, ["zero", "one", "two", "three"], {7: uri})
    checker = checked(html)
    text = " ".join(checker.text)
    assert checker.tags.count("figure") == 8, "means, differences, four curves, two costs"
    assert checker.tags.count("table") == 8
    assert checker.tags.count("img") == 1
    assert ("alt", "label three, taken for 5") in checker.attributes
    for part in (
        "mining=ohem is 3.07 points above mining=none (95 % interval +2.92 to +3.21",
        "beyond noise",
        "val/accuracy at equal backward passes: 150",
        "mining=ohem right, mining=none wrong: 40",
        "right in 3 of 3 seeds, other 0",
        "failed: it broke",
        "95 % t interval",
    ):
        assert part in text
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_hostile_names_are_text(three, make):
    for seed in range(2):
        settings = {"clip": SCRIPT, "dataset": {"_target_": SCRIPT}}
        make(f"bad{seed}", seed, 0.9, settings=settings)
        make(f"{seed}-<script>", seed, 0.9, state=SCRIPT)
    missing = f"without their images: {SCRIPT}"
    found = [Disagreement(SCRIPT, [example(1, 0, 99)], [], 1, 0)]
    html = page(compared(three), found, [SCRIPT], {}, missing)
    text = " ".join(checked(html).text)
    assert text.count("<script>alert") >= 10
    assert '"><' not in re.sub(r'"><(?=/?[a-z0-9]+[ >/])', "", html)


def test_one_group_of_one_seed_and_no_validation(make):
    html = page(compared(make("a", 0, 0.9, []).parent))
    text = " ".join(checked(html).text)
    assert "there is nothing to compare it with" in text
    assert "no deviation and no interval" in text


def test_twenty_groups_still_have_lines_of_their_own(make):
    for i in range(20):
        make(str(i), 0, 0.5 + i / 100, settings={"epochs": i + 1})
    html = page(compared(make("x", 1, 0.7, settings={"epochs": 1}).parent))
    checked(html)
    legend = re.findall(r'<line class="line (c\d(?: dashed)?)" x1="1"', html)
    assert len(legend) == 20
    assert len(set(legend[:16])) == 16


def test_where_points_are():
    plane = Axes((0.0, 10.0), (0.0, 1.0), 176, 154)  # the plot: 62 to 162, 14 to 114
    assert plane.at(0, 0) == (62, 114)
    assert plane.at(5, 0.25) == (112, 89)
    assert plane.at(10, 7) == (162, 14)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e9])
def test_one_value_has_a_range(value):
    low, high = span([value])
    assert low < value < high
    assert len(ticks(low, high)) >= 2


def test_ticks_are_round():
    assert ticks(0.0, 30.0) == [0, 5, 10, 15, 20, 25, 30]
    assert ticks(0.891, 0.956) == [0.9, 0.92, 0.94]
    assert ticks(-1.3, 2.4) == [-1, 0, 1, 2]


def test_a_bad_first_epoch_does_not_flatten_the_rest():
    assert robust([0.1, *[0.9] * 10, 0.95]) == [*[0.9] * 10, 0.95]
    assert robust([0.5, 0.6, 0.7]) == [0.5, 0.6, 0.7]
