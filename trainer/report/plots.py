"""Plots drawn by matplotlib without a display, returned as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.report.lettering import characters, own_font, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDEST = 150  # pixels of a name in a legend


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of width × height inches, at 120 pixels per inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # the figure keeps it: no pyplot, so no display and no global state
    return figure


def new_axes(x: str, y: str) -> Axes:
    """Return the axes of a new figure of 768 × 576 pixels, with `x` and `y` as axis labels."""
    return new_figure(6.4, 4.8).add_subplot(xlabel=x, ylabel=y)


def render(axes: Axes) -> np.ndarray:
    """Draw the figure of the axes; uint8 [H, W, 3]."""
    canvas = axes.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # pyright: ignore


def legend_name(text: str) -> str:
    """A name of somebody else as matplotlib's legend shows it: no formula, and never left out."""
    known = characters(own_font())
    parts = (c if ord(c) in known else f"U+{ord(c):04X}" for c in shortened(text, WIDEST))
    name = "".join(parts).replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name
