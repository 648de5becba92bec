"""Temperature scaling (Guo et al. 2017, https://arxiv.org/abs/1706.04599), section 4.2.

Outputs become z / T, with the T that minimises the negative log likelihood on val. That is convex
in β = 1/T: the first derivative is the mean of E_p[z] − z_y, the second the mean of Var_p[z], where
p = softmax(β z).
"""

import math

import torch
from torch import Tensor

from trainer.postprocess.base import Postprocess

RANGE = (1e-6, 1e6)  # of β
ROUNDS = 100
TOLERANCE = 1e-12  # of β, relative


class Temperature(Postprocess):
    """Divides the outputs by one temperature for all classes, which changes no prediction.

    If every validation example is predicted correctly, where the optimum would be 0, T is 1. For
    outputs worse than guessing, T is a million.
    """

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit T to outputs [N, C] and labels [N], in float64."""
        all_correct = (outputs.argmax(1) == labels).all()
        beta = 1.0 if all_correct else best_beta(outputs.double(), labels)
        self.fitted = {"temperature": 1 / beta}

    def __call__(self, outputs: Tensor) -> Tensor:
        """The outputs [N, C] divided by T."""
        return outputs / self.fitted["temperature"]


def best_beta(outputs: Tensor, labels: Tensor) -> float:
    """The β of the lowest negative log likelihood of outputs [N, C], in float64, and labels [N].

    A root of the derivative by Newton's method, or by bisection where that leaves the bracket.
    """
    low, high = RANGE
    beta = 1.0
    for _ in range(ROUNDS):
        slope, curvature = derivatives(beta, outputs, labels)
        low, high = (low, beta) if slope > 0 else (beta, high)
        newton = beta - slope / curvature if curvature > 0 else math.inf
        step = newton if low < newton < high else math.sqrt(low * high)
        if abs(step - beta) <= TOLERANCE * beta:
            return step
        beta = step
    return beta


def derivatives(beta: float, outputs: Tensor, labels: Tensor) -> tuple[float, float]:
    """The first and second derivative by β of the mean negative log likelihood.

    Outputs are [N, C], labels [N].
    """
    p = (beta * outputs).softmax(1)
    centred = outputs - outputs.gather(1, labels[:, None])
    mean = (p * centred).sum(1)
    variance = (p * (centred - mean[:, None]).square()).sum(1)
    return torch.mean(mean).item(), torch.mean(variance).item()
