"""Platt scaling (Platt 1999, "Probabilistic outputs for support vector machines"), section 2.1.

Each class against the rest has the score f = log p − log(1 − p) and gets the probability
σ(a·f + b), fitted by maximum likelihood on val. Platt's targets are (N₊ + 1)/(N₊ + 2) for the N₊
examples of the class and 1/(N₋ + 2) for the N₋ others: with targets of 1 and 0, the slope of a
class that val separates perfectly would grow without bound.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.postprocess.base import Postprocess

ROUNDS = 100  # of Newton's method, at most
HALVINGS = 40  # of a step, at most
TOLERANCE = 1e-12  # of the gradient, a mean over the examples
RIDGE = 1e-12  # keeps the Hessian invertible if all scores are equal


class Platt(Postprocess):
    """Fits a slope and an intercept per class against the rest, then renormalises.

    With two classes the scores are opposite, which gives the paper's single sigmoid; with more,
    predictions may change. `smooth=False` uses targets of 1 and 0 instead of Platt's.
    """

    def __init__(self, *, smooth: bool = True) -> None:
        super().__init__()
        self.smooth = smooth

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit every class to outputs [N, C] and labels [N], in float64."""
        targets = F.one_hot(labels, outputs.shape[1]).double()
        if self.smooth:
            positives = targets.sum(0)
            high, low = (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2)
            targets = low + (high - low) * targets
        slope, intercept = fit_sigmoids(log_odds(outputs.double()), targets)
        self.fitted = {"slope": slope.tolist(), "intercept": intercept.tolist()}

    def __call__(self, outputs: Tensor) -> Tensor:
        """The log of the calibrated probabilities [N, C]."""
        slope, intercept = (
            torch.tensor(self.fitted[name], dtype=torch.float64, device=outputs.device)
            for name in ("slope", "intercept")
        )
        log_p = F.logsigmoid(slope * log_odds(outputs.double()) + intercept)
        return log_p.log_softmax(1).to(outputs.dtype)  # log_softmax divides by the sum


def log_odds(outputs: Tensor) -> Tensor:
    """The log odds [N, C] of each class against the rest; exact even where p rounds to 1."""
    top, largest = outputs.max(1, keepdim=True)
    rest = outputs.scatter(1, largest, -torch.inf).logsumexp(1, keepdim=True)
    log_p = outputs.log_softmax(1)
    others = log_p - torch.log1p(-log_p.exp().scatter(1, largest, 0.0))
    return others.scatter(1, largest, top - rest)


def fit_sigmoids(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes [C] and intercepts [C] of the lowest cross entropy, by Newton's method.

    Scores and targets are [N, C]; each column is fitted independently. A step is halved until the
    cross entropy does not rise (Lin, Lin and Weng 2007, "A note on Platt's probabilistic outputs").
    """
    a, b = torch.ones_like(scores[0]), torch.zeros_like(scores[0])
    for _ in range(ROUNDS):
        p = torch.sigmoid(a * scores + b)
        weight, excess = p * (1 - p), p - targets
        grad_a, grad_b = (excess * scores).mean(0), excess.mean(0)
        if torch.maximum(grad_a.abs(), grad_b.abs()).max() < TOLERANCE:
            break
        aa, ab, bb = (weight * scores.square()).mean(0), (weight * scores).mean(0), weight.mean(0)
        aa, bb = aa + RIDGE, bb + RIDGE
        scale = 1 / (aa * bb - ab.square())
        step_a, step_b = scale * (bb * grad_a - ab * grad_b), scale * (aa * grad_b - ab * grad_a)
        a, b = descend(scores, targets, (a, b), (step_a, step_b))
    return a, b


def descend(
    scores: Tensor, targets: Tensor, start: tuple[Tensor, Tensor], step: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Subtract a step from `start`, halved per column until the cross entropy does not rise.

    `start`, `step` and the result are a slope [C] and an intercept [C]; scores and targets [N, C].
    """

    def loss(a: Tensor, b: Tensor) -> Tensor:
        logits = a * scores + b
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(0)

    (a, b), (step_a, step_b) = start, step
    before, scale = loss(a, b), torch.ones_like(a)
    for _ in range(HALVINGS):
        worse = loss(a - scale * step_a, b - scale * step_b) > before
        if not worse.any():
            break
        scale = torch.where(worse, scale / 2, scale)
    return a - scale * step_a, b - scale * step_b
