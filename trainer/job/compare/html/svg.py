"""SVG elements, and the axes of a chart: from values to pixels, with round ticks.

Written directly: with matplotlib's SVG backend the same charts, with tooltips and dark mode, took
as many lines (353 against 347) and six times as long (14.2 s against 2.3 s of processor time for
400 groups of 5 runs, once, November 2026), in a page half as large again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.core.text import escape_html

RIGHT, TOP = 24, 14  # margins in pixels
CHART = (520, 310)  # pixels of a chart, two of which stand side by side

Format = Callable[[float], str]
Pixel = tuple[float, float]
Range = tuple[float, float]
UNLIMITED = (-math.inf, math.inf)


def tag(name: str, *children: str, **attributes: object) -> str:
    """Return an element; `css` is its class, `_` in an attribute's name becomes `-`."""
    formatted = "".join(
        f' {"class" if key == "css" else key.replace("_", "-")}="{escape_html(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{formatted}>{''.join(children)}</{name}>"


def text_at(text: str, css: str, x: float, y: float, **attributes: object) -> str:
    """Return a text element; its class sets where it is anchored."""
    return tag("text", escape_html(text), css=css, x=x, y=y, **attributes)


def line(css: str, start: Pixel, end: Pixel) -> str:
    """Return a straight line between two points."""
    return tag("line", css=css, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def dot(css: str, centre: Pixel, radius: float, tooltip: str = "") -> str:
    """Return a circle with a tooltip, unless that is empty."""
    return tag("circle", hover(tooltip), css=css, cx=centre[0], cy=centre[1], r=radius)


def hover(tooltip: str) -> str:
    """Return the `<title>` that browsers show as the tooltip of its parent; empty without text."""
    return tag("title", escape_html(tooltip)) if tooltip else ""


def joined(points: Sequence[Pixel]) -> str:
    """Format the points of a polygon or polyline."""
    return " ".join(f"{x},{y}" for x, y in points)


@dataclass(frozen=True)
class Axes:
    """The ranges of both axes, and the size in pixels with two of the margins."""

    x: Range
    y: Range
    width: int = CHART[0]
    height: int = CHART[1]
    left: int = 62
    below: int = 40
    x_limits: Range = UNLIMITED  # of the ticks: there is no accuracy above 100 %
    y_limits: Range = UNLIMITED

    @property
    def bottom(self) -> int:
        """Lower edge of the plot in pixels."""
        return self.height - self.below

    @property
    def right(self) -> int:
        """Right edge of the plot in pixels."""
        return self.width - RIGHT

    def at(self, x: float, y: float) -> Pixel:
        """Map a point to pixels from the top left."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        left = self.left + across * (self.right - self.left)
        return round(left, 1), round(self.bottom - up * (self.bottom - TOP), 1)

    def x_axis(self, name: str, show: Format, *, zero: bool = False) -> str:
        """Return grid lines, ticks and the name below; with `zero`, a stronger line at 0."""
        parts = []
        for value in ticks(*self.x, self.x_limits):
            left, _ = self.at(value, self.y[0])
            css = "zero" if zero and value == 0 else "grid"
            parts.append(line(css, (left, TOP), (left, self.bottom)))
            parts.append(text_at(show(value), "middle", left, self.bottom + 16))
        return "".join(parts) + text_at(
            name, "middle", (self.left + self.right) / 2, self.height - 5
        )

    def y_axis(self, name: str, show: Format) -> str:
        """Return grid lines, ticks and the name on the left."""
        parts = []
        for value in ticks(*self.y, self.y_limits):
            _, top = self.at(self.x[0], value)
            parts.append(line("grid", (self.left, top), (self.right, top)))
            parts.append(text_at(show(value), "end", self.left - 6, top + 4))
        middle = (TOP + self.bottom) / 2
        turn = f"rotate(-90 12 {middle})"
        return "".join(parts) + text_at(name, "middle", 12, middle, transform=turn)

    def svg(self, parts: Sequence[str], description: str) -> str:
        """Return the chart; `description` is for screen readers."""
        box, style = f"0 0 {self.width} {self.height}", f"max-width:{self.width}px"
        return tag("svg", *parts, role="img", aria_label=description, viewBox=box, style=style)


def span(values: Sequence[float], *, from_zero: bool = False) -> tuple[float, float]:
    """Return the range of an axis: all values with a margin, or from 0."""
    low, high = min(values), max(values)
    if from_zero:
        return 0.0, high * 1.04 or 1.0
    edge = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
    return low - edge, high + edge


def ticks(low: float, high: float, limits: Range = UNLIMITED, most: int = 6) -> list[float]:
    """Return about `most` round numbers within a range and within limits."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= raw * 0.999)
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    values = [round(i * step, 12) for i in numbers]
    return [value for value in values if limits[0] <= value <= limits[1]]
