"""Speed and peak memory by batch size: knee, prediction, CSV and plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from trainer.report.csv_file import write_csv
from trainer.report.plots import new_axes, render

KNEE = 0.95  # of the best speed


@dataclass(frozen=True)
class Size:
    """Measured speed and memory of a batch size."""

    batch_size: int
    images_per_second: float
    step_seconds: float  # median
    memory_bytes: int  # peak, of the GPU or of the process


def knee(sizes: Sequence[Size]) -> Size:
    """Return the smallest size with 95 % of the best speed."""
    best = max(size.images_per_second for size in sizes)
    return next(size for size in sizes if size.images_per_second >= KNEE * best)


def predicted_memory(batch_size: int, sizes: Sequence[Size], before: int) -> float:
    """Extrapolate peak memory in bytes from the last two sizes; `before` is that of size 0."""
    points = [(0, before), *((size.batch_size, size.memory_bytes) for size in sizes)][-2:]
    slope = max(0.0, (points[-1][1] - points[0][1]) / max(1, points[-1][0] - points[0][0]))
    return points[-1][1] + slope * (batch_size - points[-1][0])


def cells(sizes: Sequence[Size]) -> list[list[str]]:
    """Format the sizes as rows of the console table."""
    return [
        [
            str(size.batch_size),
            f"{size.images_per_second:,.0f}",
            f"{1000 * size.step_seconds:,.1f}",
            f"{size.memory_bytes / 2**20:,.0f}",
        ]
        for size in sizes
    ]


def write_sizes(path: Path, sizes: Sequence[Size]) -> None:
    """Write the sizes as CSV, a row each."""
    names = [field.name for field in fields(Size)]
    write_csv(path, [names, *(astuple(size) for size in sizes)])


def picture(sizes: Sequence[Size]) -> np.ndarray:
    """Plot speed, its knee, and peak memory by size; uint8 [H, W, 3]."""
    numbers, best = [size.batch_size for size in sizes], knee(sizes)
    axes = new_axes("batch size", "images/s")
    axes.plot(numbers, [size.images_per_second for size in sizes], "o-")
    axes.plot(best.batch_size, best.images_per_second, "D", label=f"knee: {best.batch_size}")
    axes.set_ylim(bottom=0)
    axes.set_xscale("log", base=2)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    right = axes.twinx()
    right.plot(numbers, [size.memory_bytes / 2**20 for size in sizes], "x--", color="0.6")
    right.set_ylabel("peak memory, MiB (dashed)")
    right.set_ylim(bottom=0)
    return render(axes)
