"""The curve of a learning rate range test, and what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from trainer.report.plots import new_axes, render

FALL = 0.01  # of the first loss: less is no descent
SHOWN = 12  # rows of the table


class Curve:
    """Losses by learning rate, and their moving mean: m ← βm + (1 − β)loss, m / (1 − βⁿ)."""

    def __init__(self, *, beta: float, diverge: float) -> None:
        self.beta = beta
        self.diverge = diverge
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self.mean = 0.0

    def add(self, lr: float, loss: float) -> None:
        """The loss after a step at a rate."""
        self.lrs.append(lr)
        self.losses.append(loss)
        self.mean = self.beta * self.mean + (1 - self.beta) * loss
        self.smoothed.append(self.mean / (1 - self.beta ** len(self.lrs)))

    @property
    def diverged(self) -> bool:
        """Whether the smoothed loss is `diverge` times its lowest, which may be negative."""
        best = min(self.smoothed)
        return self.smoothed[-1] > best + (self.diverge - 1) * abs(best)

    def lowest(self) -> int | None:
        """Where the smoothed loss is lowest; None where it never fell."""
        if not self.smoothed:
            return None
        first, best = self.smoothed[0], min(self.smoothed)
        return self.smoothed.index(best) if first - best > FALL * abs(first) else None

    def steepest(self) -> int | None:
        """Where the smoothed loss falls most in a step, before it is lowest."""
        lowest = self.lowest()
        if lowest is None:
            return None
        return int(np.gradient(self.smoothed)[: lowest + 1].argmin())

    def rows(self) -> list[list[str]]:
        """Some of it as text, evenly, the last among them."""
        places = np.linspace(0, len(self.lrs) - 1, min(SHOWN, len(self.lrs))).round().astype(int)
        return [
            [f"{self.lrs[i]:.2g}", f"{self.losses[i]:.4f}", f"{self.smoothed[i]:.4f}"]
            for i in places
        ]

    def write(self, path: Path) -> None:
        """A CSV file, a row for each step."""
        rows = zip(self.lrs, self.losses, self.smoothed, strict=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("lr", "loss", "smoothed"), *rows])

    def picture(self, *, log_scale: bool) -> np.ndarray:
        """Both losses, and the rates that they speak for; uint8 [H, W, 3]."""
        axes = new_axes("learning rate", "loss")
        axes.plot(self.lrs, self.losses, color="0.75", label="loss")
        axes.plot(self.lrs, self.smoothed, label="smoothed")
        for name, at in {"lowest": self.lowest(), "steepest": self.steepest()}.items():
            if at is not None:
                axes.plot(self.lrs[at], self.smoothed[at], "o", label=f"{name}: {self.lrs[at]:.2g}")
        fall = self.losses[0] - min(self.losses) if self.losses else 0
        if fall > 0:  # where it diverged goes off the picture, or there is nothing else to see
            axes.set_ylim(min(self.losses) - fall / 10, self.losses[0] + fall / 2)
        axes.set_xscale("log" if log_scale else "linear")
        axes.grid(alpha=0.3)
        axes.legend()
        return render(axes)
