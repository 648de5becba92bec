"""Isotonic calibration (Zadrozny and Elkan 2002), by pool adjacent violators (Ayer et al. 1955).

"Transforming classifier scores into accurate multiclass probability estimates", section 4.
"""

import numpy as np
import torch
from torch import Tensor

from trainer.postprocess.base import Postprocess


class Isotonic(Postprocess):
    """A rising function of each class's probability against the rest, then renormalised.

    It is linear between the fitted points and level outside them, as scikit-learn's. One example's
    worth of probability is spread evenly over the classes, (N p + 1/C) / (N + 1) for N validation
    examples, since the fitted functions reach 0 and an infinite loss. Flat parts make ties, so
    predictions may change; a few hundred validation examples a class are needed.
    """

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit all classes, in float64."""
        p, labels_ = outputs.double().softmax(1).numpy(), labels.numpy()
        fits = [isotonic(p[:, c], (labels_ == c).astype(float)) for c in range(p.shape[1])]
        self.fitted = {
            "examples": len(labels),
            "p": [points.tolist() for points, _ in fits],
            "values": [values.tolist() for _, values in fits],
        }

    def __call__(self, outputs: Tensor) -> Tensor:
        """Log probabilities."""
        p = outputs.double().softmax(1).cpu().numpy()
        knots = zip(p.T, self.fitted["p"], self.fitted["values"], strict=True)
        risen = torch.from_numpy(np.stack([np.interp(*args) for args in knots], 1))
        total = risen.sum(1, keepdim=True)
        even = 1 / p.shape[1]
        risen = torch.where(total > 0, risen / total.clamp(min=1e-300), even)
        number = self.fitted["examples"]
        return ((number * risen + even) / (number + 1)).log().to(outputs)


def isotonic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and values of the rising function of x [N] nearest to y [N] in squares.

    Equal x are one point with their mean. Inside a level part only its two ends are given.
    """
    points, at, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(at, weights=y) / counts
    blocks: list[tuple[float, int, int]] = []  # mean, weight, points
    for point in zip(means.tolist(), counts.tolist(), strict=True):
        mean, weight, size = *point, 1
        while blocks and blocks[-1][0] >= mean:
            before, heft, length = blocks.pop()
            mean = (before * heft + mean * weight) / (heft + weight)
            weight, size = weight + heft, size + length
        blocks.append((mean, weight, size))
    values = np.repeat([block[0] for block in blocks], [block[2] for block in blocks])
    ends = np.ones(len(points), bool)
    ends[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return points[ends], values[ends]
