"""The plane of a chart: from values to pixels, axes with round ticks, the SVG around it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from trainer.job.compare.numbers import short

RIGHT, TOP = 14, 14  # margins in pixels

Format = Callable[[float], str]
Pixel = tuple[float, float]


@dataclass(frozen=True)
class Axes:
    """The ranges of both axes, and the size in pixels with two margins."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int
    height: int
    left: int = 62
    below: int = 40

    @property
    def bottom(self) -> int:
        """Of the plot."""
        return self.height - self.below

    @property
    def right(self) -> int:
        """Of the plot."""
        return self.width - RIGHT

    def at(self, x: float, y: float) -> Pixel:
        """Where a point is, from the top left; what lies below or above stands at the edge."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = min(1.0, max(0.0, (y - self.y[0]) / (self.y[1] - self.y[0])))
        left = self.left + across * (self.right - self.left)
        return round(left, 1), round(self.bottom - up * (self.bottom - TOP), 1)

    def axes(self, x: str, y: str, show: Format) -> str:
        """Both axes with their ticks and names."""
        parts = [self.horizontal(x, short, zero=False)]
        for value in ticks(*self.y):
            _, top = self.at(self.x[0], value)
            ends = f'x1="{self.left}" x2="{self.right}" y1="{top}" y2="{top}"'
            parts.append(f'<line class="grid" {ends}/>')
            place = f'x="{self.left - 6}" y="{top + 4}"'
            parts.append(f'<text class="end" {place}>{escape(show(value))}</text>')
        middle = (TOP + self.bottom) / 2
        turn = f'transform="rotate(-90 12 {middle})"'
        parts.append(f'<text class="axis" x="12" y="{middle}" {turn}>{escape(y)}</text>')
        return "".join(parts)

    def horizontal(self, name: str, show: Format, *, zero: bool) -> str:
        """The axis below; with `zero`, a line where it is 0."""
        parts = []
        for value in ticks(*self.x):
            left, _ = self.at(value, self.y[0])
            kind = "zero" if zero and value == 0 else "grid"
            ends = f'x1="{left}" x2="{left}" y1="{TOP}" y2="{self.bottom}"'
            parts.append(f'<line class="{kind}" {ends}/>')
            place = f'x="{left}" y="{self.bottom + 16}"'
            parts.append(f'<text class="axis" {place}>{escape(show(value))}</text>')
        middle = f'x="{(self.left + self.right) / 2}" y="{self.height - 5}"'
        parts.append(f'<text class="axis" {middle}>{escape(name)}</text>' if name else "")
        return "".join(parts)

    def svg(self, parts: Iterable[str], about: str) -> str:
        """The picture, with what it shows for those who do not see it."""
        box = f'viewBox="0 0 {self.width} {self.height}" style="max-width:{self.width}px"'
        return f'<svg role="img" aria-label="{escape(about)}" {box}>{"".join(parts)}</svg>'


def robust(values: Sequence[float]) -> list[float]:
    """Without values far below nine tenths of them: a first epoch would flatten all others."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 10], ordered[-1]
    return [value for value in ordered if value >= low - (high - low) / 2]


def span(values: Sequence[float], *, whole: bool = False) -> tuple[float, float]:
    """The range of an axis; `whole` begins at 0."""
    low, high = min(values), max(values)
    if whole:
        return 0.0, high * 1.04 or 1.0
    edge = 0.06 * (high - low) or abs(high) * 0.01 or 1.0
    return low - edge, high + edge


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers within a range."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 5, 10) if size * k >= raw * 0.999)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
