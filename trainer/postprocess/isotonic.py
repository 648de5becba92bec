"""Isotonic calibration (Zadrozny and Elkan 2002), by pool adjacent violators (Ayer et al. 1955).

"Transforming classifier scores into accurate multiclass probability estimates", section 4.
"""

import numpy as np
import torch
from torch import Tensor

from trainer.postprocess.base import Postprocess


class Isotonic(Postprocess):
    """Maps each class's probability by a non-decreasing function, then renormalises.

    The functions are linear between the fitted points and constant outside them, like
    scikit-learn's. Since they reach 0, where the loss would be infinite, one example's worth of
    probability is spread evenly over the classes: (N p + 1/C) / (N + 1) for N validation examples.
    Flat parts make ties, so predictions may change; val needs a few hundred examples per class.
    """

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit a function per class to outputs [N, C] and labels [N], in float64."""
        p, y = outputs.double().softmax(1).numpy(), labels.numpy()
        fits = [isotonic(p[:, c], (y == c).astype(float)) for c in range(p.shape[1])]
        self.fitted = {
            "examples": len(labels),
            "p": [points.tolist() for points, _ in fits],
            "values": [values.tolist() for _, values in fits],
        }

    def __call__(self, outputs: Tensor) -> Tensor:
        """The log of the calibrated probabilities [N, C]."""
        p = outputs.double().softmax(1).cpu().numpy()
        columns = zip(p.T, self.fitted["p"], self.fitted["values"], strict=True)
        mapped = torch.from_numpy(np.stack([np.interp(*column) for column in columns], 1))
        total = mapped.sum(1, keepdim=True)
        uniform = 1 / p.shape[1]
        mapped = torch.where(total > 0, mapped / total.clamp(min=1e-300), uniform)
        n = self.fitted["examples"]
        return ((n * mapped + uniform) / (n + 1)).log().to(outputs)


def isotonic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the non-decreasing function of x [N] closest to y [N] in least squares.

    Returns its points [K] and its values [K] there. Equal x are one point, with the mean of their
    y; flat parts keep only their two ends.
    """
    points, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=y) / counts
    blocks: list[tuple[float, int, int]] = []  # mean, examples, points
    for point in zip(means.tolist(), counts.tolist(), strict=True):
        mean, weight, size = *point, 1
        while blocks and blocks[-1][0] >= mean:
            last_mean, last_weight, last_size = blocks.pop()
            mean = (last_mean * last_weight + mean * weight) / (last_weight + weight)
            weight, size = weight + last_weight, size + last_size
        blocks.append((mean, weight, size))
    values = np.repeat([block[0] for block in blocks], [block[2] for block in blocks])
    ends = np.ones(len(points), bool)
    ends[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return points[ends], values[ends]
