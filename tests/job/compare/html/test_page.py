"""The page is self-contained, well formed, and shows hostile names as text."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from trainer.job.compare.disagreements import Disagreement, Example
from trainer.job.compare.html.page import breakable, page
from trainer.job.compare.html.svg import Axes, span, ticks

VOID = {"meta", "img", "br", "hr", "link", "input", "wbr"}
SCRIPT = '<script>alert("1")</script><img src=x onerror=alert(1)>'


class Checker(HTMLParser):
    """Collects tags, attributes and text; asserts that tags are closed in order."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def check_page(html):
    """Parse the page; assert that it is well formed and neither loads nor runs anything."""
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(checker.tags)
    for name, value in checker.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "data", "action", "srcset"):
            assert value.startswith("data:image/png;base64,")
    assert not re.search(r"url\(|@import|https?:", html)
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)  # noqa: S314  (our own)
    return checker


def example(number, label=3, prediction=5):
    return Example(number, label, 3, 3, 0, 1.25, prediction)


def headings(html):
    return re.findall(r"<h[23]>(.*?)</h[23]>", html)


def test_the_page_is_complete_and_self_contained(three, make, compared):
    make("stopped", 3, 0.9, state="failed")
    disagreements = [Disagreement("mining=ohem", [example(7), example(8)], [], 40, 0)]
    uri = "data:image/png;base64,AAAA"
    html = page(compared(three), disagreements, ["zero", "one", "two", "three"], {7: uri})
    checker = check_page(html)
    text = " ".join(checker.text)
    assert checker.tags.count("figure") == 8, "means, differences, four curves, two costs"
    assert checker.tags.count("table") == 9
    assert checker.tags.count("img") == 1
    assert ("alt", "label three, predicted 5") in checker.attributes
    for part in ("3.07 points above", "+2.92 to +3.21", "beyond noise", "150 backward passes"):
        assert part in text
    for part in ("right with 3 of 3 seeds", "failed: it broke", "95% t interval"):
        assert part in text
    assert "mining=ohem right, mining=none wrong: 40" in headings(html)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_validations_and_means_have_tooltips(three, compared):
    titles = re.findall(r"<circle[^>]*><title>(.*?)</title>", page(compared(three)))
    curves = [title for title in titles if " at " in title and "epochs" in title]
    assert len(curves) == 3 * 3
    assert "mining=ohem: 84.07 at 2 epochs (83.00 to 85.10)" in curves
    assert any(title.startswith("mining=ohem: 94.07 (91.46 to 96.68)") for title in titles)


def test_all_points_are_inside_the_axes_and_no_accuracy_exceeds_100(make, compared):
    """A bad first epoch is inside the axes; the interval of 99 and 100 % is cut at 100."""
    for seed, final in enumerate((0.99, 1.0)):
        folder = make(str(seed), seed, final, [0.1, *[0.9] * 30]).parent
    html = page(compared(folder))
    assert "86.15" not in html, "mean 99.5, and 6.35 on either side"
    assert "93.15 to 100.00" in html
    bottom = 310 - 40
    heights = [float(y) for y in re.findall(r'class="spot" cx="[\d.]+" cy="([\d.-]+)"', html)]
    assert len(heights) == 4 * 31
    assert 14 <= min(heights) < max(heights) < bottom
    assert max(heights) - min(heights) > 200


def test_curves_at_0_and_at_100_are_whole(make, compared):
    """Half of a line along the edge of the plot would be cut; there is no tick beyond 100 %."""
    for seed in range(2):
        folder = make(str(seed), seed, 1.0, [0.0, 0.0, 1.0, 1.0]).parent
    html = page(compared(folder))
    heights = [float(y) for y in re.findall(r'class="spot" cx="[\d.]+" cy="([\d.-]+)"', html)]
    top, bottom = 14, 310 - 40
    assert top + 8 < min(heights)
    assert max(heights) < bottom - 8
    shown = {float(text) for text in re.findall(r'<text class="end"[^>]*>([\d.]+)</text>', html)}
    assert (min(shown), max(shown)) == (0, 100)


def test_intervals_of_accuracies_and_of_their_differences_have_an_end(make, compared):
    """Two seeds far apart: the t interval alone would reach from −500 to 600 %."""
    for seed, (one, other) in enumerate([(0.1, 0.9), (0.9, 0.1)]):
        make(f"a{seed}", seed, one)
        folder = make(f"b{seed}", seed, other, groups={"mining": "ohem"}).parent
    text = " ".join(check_page(page(compared(folder))).text)
    assert "0.00 to 100.00" in text
    assert "−100.00 to +100.00" in text
    assert not re.search(r"\d{4}\.\d\d|[2-9]\d\d\.\d\d", text)


def test_long_names_of_metrics_may_be_broken():
    assert breakable("test/mean_iou (%)") == "test/<wbr>mean_<wbr>iou (%)"


def test_empty_sections_and_lists_have_no_heading(three, compared):
    empty = [Disagreement("mining=ohem", [], [], 0, 0)]
    for missing in ("", "images not shown: no data"):
        titles = headings(page(compared(three), empty, missing=missing))
        assert "Method" in titles
        assert not [title for title in titles if re.search("disagree|right|kipped", title)]


def test_hostile_names_are_shown_as_text(three, make, compared):
    for seed in range(2):
        settings = {"clip": SCRIPT + "$body", "dataset": {"_target_": SCRIPT}}
        make(f"bad{seed}", seed, 0.9, settings=settings)
        make(f"{seed}-<script>", seed, 0.9, state=SCRIPT)
    missing = f"images not shown: {SCRIPT}"
    disagreements = [Disagreement(SCRIPT, [example(1, 0, 99)], [], 1, 0)]
    html = page(compared(three), disagreements, [SCRIPT], {}, missing)
    text = " ".join(check_page(html).text)
    assert text.count("<script>alert") >= 10
    assert '"><' not in re.sub(r'"><(?=/?[a-z0-9]+[ >/])', "", html)


def test_one_group_with_one_seed_and_no_validation(make, compared):
    text = " ".join(check_page(page(compared(make("a", 0, 0.9, []).parent))).text)
    assert "Only one group" in text
    assert "no interval" in text


def test_twenty_groups_have_distinct_lines(make, compared):
    for i in range(20):
        make(str(i), 0, 0.5 + i / 100, settings={"epochs": i + 1})
    html = page(compared(make("x", 1, 0.7, settings={"epochs": 1}).parent))
    check_page(html)
    legend = re.findall(r'<i class="(c\d(?: dashed)?)">', html)
    assert len(legend) == 20
    assert len(set(legend[:16])) == 16


def test_values_are_mapped_to_pixels():
    axes = Axes((0.0, 10.0), (0.0, 1.0), 186, 154)  # the plot: 62 to 162, 14 to 114
    assert axes.at(0, 0) == (62, 114)
    assert axes.at(5, 0.25) == (112, 89)


@pytest.mark.parametrize("value", [0.0, 0.5, -3.0, 1e9])
def test_a_single_value_still_gives_the_axis_a_range(value):
    low, high = span([value])
    assert low < value < high
    assert len(ticks(low, high)) >= 2


def test_ticks_are_round():
    assert ticks(0.0, 30.0) == [0, 5, 10, 15, 20, 25, 30]
    assert ticks(0.891, 0.956) == [0.9, 0.92, 0.94]
    assert ticks(-1.3, 2.4) == [-1, 0, 1, 2]


def test_long_names_that_begin_alike_are_told_apart(make, compared):
    for seed, clip in enumerate((1.0, 2.0)):
        settings = {"finetune": {"source": "outputs/" + "x" * 60}, "clip": clip}
        make(str(seed), 0, 0.9, settings=settings)
    html = page(compared(make("other", 0, 0.8).parent))
    names = re.findall(r'<text class="(?:end )?name"[^>]*>([^<]*)<', html)
    assert len(names) >= 3
    assert len(set(names)) == 3
    assert any("clip=1.0" in name for name in names)
