"""Charts as inline SVG: no library, no script. Colours are the page's CSS; hover names a mark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from trainer.job.compare.html.axes import Axes, Format, Pixel, robust, span
from trainer.job.compare.numbers import short

COLOURS = 8  # after which they begin again, dashed
SIZE = (470, 300)  # of a chart over a cost
ROW, BAR = 34, 18  # pixels of a group's row, and of its bar
WIDEST = 360  # pixels of the names beside the rows
LETTER = 7


@dataclass(frozen=True)
class Line:
    """A curve with its band: x, y, low, high."""

    label: str
    points: Sequence[tuple[float, float, float, float]]


@dataclass(frozen=True)
class Mark:
    """A group's value with its interval, and those of its seeds; at some cost."""

    label: str
    number: int  # of its colour
    y: float
    low: float | None
    high: float | None
    each: Sequence[tuple[float, float]] = ()  # x, y
    x: float = 0.0

    @property
    def bounds(self) -> list[float]:
        """Both ends of the interval, where there is one."""
        return [bound for bound in (self.low, self.high) if bound is not None]

    def told(self, show: Format) -> str:
        """The mark in words."""
        bounds = f" ({' to '.join(map(show, self.bounds))})" if self.bounds else ""
        return f"{self.label}: {show(self.y)}{bounds}"


def curves(lines: Sequence[Line], *, x: str, y: str, show: Format, about: str) -> str:
    """Curves over a cost, each in the band of its seeds."""
    xs = [p[0] for line in lines for p in line.points]
    ys = [value for line in lines for p in line.points for value in p[1:]]
    plane = Axes(span(xs, whole=True), span(robust(ys)), *SIZE)
    bands, over, spots = [], [], []
    for i, line in enumerate(lines):
        up = [plane.at(p[0], p[3]) for p in line.points]
        down = [plane.at(p[0], p[2]) for p in reversed(line.points)]
        bands.append(f'<polygon class="band c{i % COLOURS}" points="{joined(up + down)}"/>')
        path = joined(plane.at(p[0], p[1]) for p in line.points)
        over.append(f'<polyline class="line {colour(i)}" points="{path}"/>')
        for cost, mean, low, high in line.points:
            text = f"{line.label}: {show(mean)} at {short(cost)} {x} ({show(low)} to {show(high)})"
            spots.append(dot("spot", plane.at(cost, mean), 5, text))
    return plane.svg([plane.axes(x, y, show), *bands, *over, *spots], about)


def scatter(marks: Sequence[Mark], *, x: str, y: str, show: Format, about: str) -> str:
    """Cost against the metric: each group's mean with its interval, each seed as a dot."""
    xs = [m.x for m in marks] + [p[0] for m in marks for p in m.each]
    plane = Axes(span(xs, whole=True), span(heights(marks)), *SIZE)
    seeds, means = [], []
    for mark in marks:
        kind = colour(mark.number)
        seeds += [dot(f"seed {kind}", plane.at(*place), 3) for place in mark.each]
        means.append(whisker(kind, [plane.at(mark.x, bound) for bound in mark.bounds]))
        text = f"{mark.told(show)} at {short(mark.x)} {x}"
        means.append(dot(f"dot {kind}", plane.at(mark.x, mark.y), 6, text))
    return plane.svg([plane.axes(x, y, show), *seeds, *means], about)


def rows(marks: Sequence[Mark], *, show: Format, about: str, bars: bool) -> str:
    """A row for each group: the mean with its interval and dots of the seeds, or a bar from 0."""
    wide = min(WIDEST, 16 + LETTER * max(len(m.label) for m in marks))
    values = heights(marks) + ([0.0] if bars else [])
    tall = 0.0, float(len(marks))
    plane = Axes(span(values), tall, 1000, ROW * len(marks) + 40, left=wide, below=26)
    parts = [plane.horizontal("", show, zero=bars)]
    for i, mark in enumerate(marks):
        parts += row(plane, mark, len(marks) - i - 0.5, show, bars=bars)
    return plane.svg(parts, about)


def row(plane: Axes, mark: Mark, height: float, show: Format, *, bars: bool) -> list[str]:
    """A group's row."""
    kind, text = colour(mark.number), mark.told(show)
    left, middle = plane.at(mark.y, height)
    name = fitted(mark.label, plane.left)
    parts = [f'<text class="name" x="{plane.left - 10}" y="{middle + 4}">{name}</text>']
    if bars:
        zero = plane.at(0, height)[0]
        across = f'x="{min(zero, left)}" width="{abs(left - zero):.1f}"'
        down = f'y="{middle - BAR / 2}" height="{BAR}"'
        parts.append(f'<rect class="bar {kind}" {across} {down}>{hover(text)}</rect>')
    parts.append(whisker(kind, [plane.at(bound, height) for bound in mark.bounds]))
    parts += [dot(f"seed {kind}", plane.at(value, height), 3.5) for _, value in mark.each]
    return parts if bars else [*parts, dot(f"dot {kind}", (left, middle), 6, text)]


def legend(labels: Iterable[str]) -> str:
    """The groups' colours, as HTML."""
    line = '<svg width="26" height="12" aria-hidden="true"><line class="line {}" {}/></svg>'
    ends = 'x1="1" x2="25" y1="6" y2="6"'
    entries = [
        f"<li>{line.format(colour(i), ends)}{escape(label)}</li>" for i, label in enumerate(labels)
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'


def heights(marks: Sequence[Mark]) -> list[float]:
    """All values that are to be seen."""
    return [value for m in marks for value in (m.y, *m.bounds, *(p[1] for p in m.each))]


def whisker(kind: str, ends: Sequence[Pixel]) -> str:
    """The line of an interval, where there is one."""
    if len(ends) < 2:
        return ""
    (x1, y1), (x2, y2) = ends
    return f'<line class="whisker {kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def dot(kind: str, place: Pixel, radius: float, text: str = "") -> str:
    """A circle."""
    circle = f'<circle class="{kind}" cx="{place[0]}" cy="{place[1]}" r="{radius}"'
    return f"{circle}>{hover(text)}</circle>" if text else f"{circle}/>"


def colour(number: int) -> str:
    """The classes of a group's marks."""
    return f"c{number % COLOURS}{' dashed' if number >= COLOURS else ''}"


def hover(text: str) -> str:
    """What a mark says."""
    return f"<title>{escape(text)}</title>"


def fitted(label: str, width: int) -> str:
    """A name, cut to a width in pixels."""
    most = max(4, (width - 16) // LETTER)
    return escape(label if len(label) <= most else f"{label[: most - 1]}…")


def joined(points: Iterable[Pixel]) -> str:
    """Points of a path."""
    return " ".join(f"{x},{y}" for x, y in points)
