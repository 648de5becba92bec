"""Loss by learning rate: smoothing, divergence, minimum, CSV and plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.report.csv_file import write_csv
from trainer.report.plots import new_axes, render

FALL = 0.01  # least fall from the first loss, as a fraction, that counts
SHOWN = 12  # rows of the console table


class Curve:
    """Losses by learning rate, and their bias-corrected moving mean.

    After n steps that is m / (1 − βⁿ), where each step sets m ← βm + (1 − β)·loss.
    """

    def __init__(self, *, beta: float, diverge: float) -> None:
        self.beta = beta
        self.diverge = diverge
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.mean = 0.0

    def add(self, lr: float, loss: float) -> None:
        """Add the loss after a step at rate `lr`."""
        self.lrs.append(lr)
        self.losses.append(loss)
        self.mean = self.beta * self.mean + (1 - self.beta) * loss
        self.smoothed.append(self.mean / (1 - self.beta ** len(self.lrs)))

    @property
    def diverged(self) -> bool:
        """Whether the smoothed loss is above its minimum by (diverge − 1) times its magnitude."""
        best = min(self.smoothed)
        return self.smoothed[-1] > best + (self.diverge - 1) * abs(best)

    def lowest(self) -> int | None:
        """Return the step of the lowest smoothed loss, None if the loss never fell by 1 %."""
        if not self.smoothed:
            return None
        first, best = self.smoothed[0], min(self.smoothed)
        return self.smoothed.index(best) if first - best > FALL * abs(first) else None

    def steepest(self) -> int | None:
        """Return the step of the steepest fall up to the minimum, None if there is no minimum."""
        lowest = self.lowest()
        if lowest is None:
            return None
        return int(np.gradient(self.smoothed)[: lowest + 1].argmin())

    def shown(self) -> list[list[str]]:
        """Format up to 12 evenly spaced steps, including the last, for the console table."""
        steps = np.linspace(0, len(self.lrs) - 1, min(SHOWN, len(self.lrs))).round().astype(int)
        return [
            [f"{self.lrs[i]:.2g}", f"{self.losses[i]:.4f}", f"{self.smoothed[i]:.4f}"]
            for i in steps
        ]

    def write(self, path: Path) -> None:
        """Write the curve as CSV, a row per step."""
        rows = zip(self.lrs, self.losses, self.smoothed, strict=True)
        write_csv(path, [("lr", "loss", "smoothed"), *rows])

    def picture(self, *, log_scale: bool) -> np.ndarray:
        """Plot both losses with the lowest and steepest points; uint8 [H, W, 3]."""
        axes = new_axes("learning rate", "loss")
        axes.plot(self.lrs, self.losses, color="0.75", label="loss")
        axes.plot(self.lrs, self.smoothed, label="smoothed")
        for name, at in {"lowest": self.lowest(), "steepest": self.steepest()}.items():
            if at is not None:
                axes.plot(self.lrs[at], self.smoothed[at], "o", label=f"{name}: {self.lrs[at]:.2g}")
        fall = self.losses[0] - min(self.losses) if self.losses else 0
        if fall > 0:  # cut off the divergence, which would dwarf the rest
            axes.set_ylim(min(self.losses) - fall / 10, self.losses[0] + fall / 2)
        axes.set_xscale("log" if log_scale else "linear")
        axes.grid(alpha=0.3)
        axes.legend()
        return render(axes)
