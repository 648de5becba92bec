"""Plots drawn by matplotlib without a display, returned as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
