"""Decision thresholds tuned on val (for F1: Lipton et al. 2014, https://arxiv.org/abs/1402.1892).

The prediction becomes argmax p_c / t_c: outputs are shifted by −log t_c. With two classes that is
p_1 > t for one threshold t on p_1, the other class having 1 − t.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.postprocess.base import Postprocess
from trainer.report.images import confusion_matrix

LOG_2 = math.log(2)
TOLERANCE = 1e-9  # of a total cost: what rounding alone can save
Objective = Literal["f1", "recall_at_precision", "cost"]


class Threshold(Postprocess):
    """One threshold, for the class `positive` against the rest, or `per_class` one for each.

    `objective`: `f1`, `recall_at_precision` (the largest recall of those with at least `precision`;
    where none has, the most precise) or `cost` (the least Σ cost_matrix[label][prediction]).
    One threshold is on σ(z_positive − the largest other z), which is p_1 of two classes. Per class,
    t_c is on p_c against the rest; for the cost, classes take turns until none can lower it, which
    is exact in each turn. A threshold lies midway (in logs) between the scores that it parts. It
    moves predictions: what is left of the probabilities is not to be read as such.
    """

    def __init__(
        self,
        *,
        objective: Objective = "f1",
        per_class: bool = False,
        positive: int = 1,
        precision: float = 0.9,
        cost_matrix: list[list[float]] | None = None,
    ) -> None:
        super().__init__()
        within("postprocess.positive", positive, "[0, inf)")
        within("postprocess.precision", precision, "(0, 1]")
        if (objective == "cost") != (cost_matrix is not None):
            raise ValueError("postprocess.cost_matrix goes with postprocess.objective=cost alone")
        self.objective: Objective = objective
        self.per_class = per_class
        self.positive = positive
        self.precision = precision
        self.cost_matrix = cost_matrix

    def prepare(self, class_counts: Tensor) -> None:
        """Raise ValueError where a setting does not go with the number of classes."""
        number = len(class_counts)
        if self.positive >= number:
            raise ValueError(
                f"postprocess.positive must be a class, 0 to {number - 1}, got {self.positive}"
            )
        costs = self.cost_matrix
        if costs is not None and {len(costs), *map(len, costs)} != {number}:
            raise ValueError(f"postprocess.cost_matrix must be {number} lists of {number} numbers")

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Tune the thresholds, in float64. A class that val has not is not moved, or has 1/2."""
        log_p = outputs.double().log_softmax(1)
        classes = list(range(log_p.shape[1])) if self.per_class else [self.positive]
        if self.cost_matrix is not None:
            cuts = cheapest(log_p, labels, self.costs(), classes)
            thresholds = cuts.softmax(0)
        elif self.per_class:
            cuts = torch.tensor([self.cut(log_p[:, c], labels == c, -LOG_2) for c in classes])
            thresholds = cuts.exp()
        else:
            cuts = torch.zeros(log_p.shape[1], dtype=torch.float64)
            scores, _ = lead(log_p, self.positive)
            cuts[self.positive] = self.cut(scores, labels == self.positive, 0.0)
            thresholds = cuts.sigmoid()
        self.fitted = {"shift": (0 - cuts).tolist(), "threshold": thresholds[classes].tolist()}

    def __call__(self, outputs: Tensor) -> Tensor:
        """Shifted outputs."""
        return outputs + outputs.new_tensor(self.fitted["shift"])

    def cut(self, scores: Tensor, positive: Tensor, absent: float) -> float:
        """The threshold on log scores [N] that is best for what is `positive` [N]."""
        total = positive.sum()
        if not total:
            return absent

        def values(order: Tensor) -> Tensor:
            hits = positive[order].cumsum(0).double()
            taken = torch.arange(1, len(hits) + 1)
            precision, recall = hits / taken, hits / total
            if self.objective == "f1":
                return 2 * hits / (taken + total)
            return torch.where(precision >= self.precision, 1 + recall, precision)

        return best_cut(scores, values, none=-1.0)

    def costs(self) -> Tensor:
        """[C, C] by label and prediction."""
        return torch.tensor(self.cost_matrix, dtype=torch.float64)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """What is tuned: of the positive class, or the mean over classes where each has its own."""
        number = outputs.shape[1]
        matrix = confusion_matrix(labels, outputs.argmax(1), number).double()
        if self.cost_matrix is not None:
            return {"cost": ((matrix * self.costs()).sum() / len(labels)).item()}
        hits, true, told = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        found = {"f1": 2 * hits / (true + told).clamp(min=1)}
        if self.objective != "f1":
            found = {"precision": hits / told.clamp(min=1), "recall": hits / true.clamp(min=1)}
        classes = slice(None) if self.per_class else slice(self.positive, self.positive + 1)
        return {name: values[classes].mean().item() for name, values in found.items()}


def lead(log_p: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """How far class c is above the best other one, and which that is, both [N]."""
    others = log_p.clone()
    others[:, c] = -torch.inf
    best, rival = others.max(1)
    return log_p[:, c] - best, rival


def best_cut(scores: Tensor, values: Callable[[Tensor], Tensor], none: float) -> float:
    """The threshold on scores [N] with the highest value; of equal ones the highest threshold.

    `values` gives [N], the value of taking the first 1, ..., N in the order it is handed; `none` is
    the value of taking none.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked = scores[order]
    edges = torch.cat([ranked[:1] + 2, ranked, ranked[-1:] - 2])  # none or all: a margin of 1
    value = torch.cat([torch.tensor([none], dtype=torch.float64), values(order)])
    value[edges[:-1] == edges[1:]] = -torch.inf  # equal scores are not parted
    at = int(value.argmax())
    return ((edges[at] + edges[at + 1]) / 2).item()


def cheapest(log_p: Tensor, labels: Tensor, costs: Tensor, classes: list[int]) -> Tensor:
    """Log thresholds [C] of a low total cost: those of `classes` are lowered in turns."""
    cuts = torch.zeros(log_p.shape[1], dtype=torch.float64)

    def total(cuts: Tensor) -> float:
        return costs[labels, (log_p - cuts).argmax(1)].sum().item()

    best, before = total(cuts), math.inf
    while best < before:
        before = best
        for c in classes:
            scores, rival = lead(log_p - cuts, c)
            saved = costs[labels, rival] - costs[labels, c]
            trial = cuts.clone()
            trial[c] += best_cut(scores, lambda order, s=saved: s[order].cumsum(0), none=0.0)
            if (cost := total(trial)) < best - TOLERANCE:
                cuts, best = trial, cost
    return cuts
