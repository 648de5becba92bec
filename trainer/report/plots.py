"""Plots drawn by matplotlib without a display, returned as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(x: str, y: str) -> Axes:
    """Return the axes of a new figure of 768 × 576 pixels, with `x` and `y` as axis labels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # the figure keeps it: no pyplot, so no display and no global state
    return figure.add_subplot(xlabel=x, ylabel=y)


def render(axes: Axes) -> np.ndarray:
    """Draw the figure of the axes; uint8 [H, W, 3]."""
    canvas = axes.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # pyright: ignore
