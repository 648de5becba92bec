"""Decision thresholds tuned on val (for F1: Lipton et al. 2014, https://arxiv.org/abs/1402.1892).

The prediction becomes argmax p_c / t_c: outputs are shifted by −log t_c. With two classes that is
p_1 > t for a threshold t on p_1, the other class having 1 − t. Of several labels, each is predicted
where σ(z_c) > t_c: its logit is shifted by −log(t_c / (1 − t_c)).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from trainer.core.batch import Target
from trainer.core.ranges import within
from trainer.postprocess.base import Postprocess
from trainer.report.images import confusion_matrix
from trainer.task.shared.by_label import counts, f1

LOG_2 = math.log(2)
TOLERANCE = 1e-9  # of a total cost: a smaller saving is rounding error
Objective = Literal["f1", "recall_at_precision", "cost"]


class Threshold(Postprocess):
    """Tunes one threshold for the class `positive` or, with `per_class`, one for every class.

    `objective` is `f1`, `recall_at_precision` (the highest recall at a precision of at least
    `precision`, or the highest precision if none reaches it) or `cost` (the lowest
    Σ cost_matrix[label][prediction]). A single threshold applies to σ(z_positive − max z_other),
    which for two classes is the probability of `positive`. Per class, t_c applies to p_c; for the
    cost, classes are tuned in turn, each exactly, until none lowers it. A threshold is midway, in
    logs, between the scores that it separates.

    With multi-hot labels every class has a threshold, its logits being the scores; `per_class` and
    `positive` do not apply, and `cost` is refused. A class without an example in val keeps 1/2.

    Use the shifted outputs for predictions only: their
    softmax or sigmoid is no longer a probability.
    """

    measures = ("f1", "precision", "recall", "cost")

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
            raise ValueError(
                f"postprocess.cost_matrix is for postprocess.objective=cost, and required by it; "
                f"got objective {objective} and cost_matrix {cost_matrix}"
            )
        if objective != "cost":
            self.targets = ("class", "multilabel")  # pyright: ignore[reportAttributeAccessIssue]  # this object
        self.objective: Objective = objective
        self.per_class = per_class
        self.positive = positive
        self.precision = precision
        self.cost_matrix = cost_matrix

    def instead(self, target: Target) -> str | None:
        """An objective that suits multi-hot labels."""
        return "postprocess.objective=f1" if target == "multilabel" else None

    def prepare(self, class_counts: Tensor) -> None:
        """Raise ValueError unless the settings fit the number of classes in class_counts [C]."""
        number = len(class_counts)
        if self.positive >= number:
            raise ValueError(
                f"postprocess.positive must be a class, 0 to {number - 1}, got {self.positive}"
            )
        costs = self.cost_matrix
        if costs is not None and {len(costs), *map(len, costs)} != {number}:
            raise ValueError(
                f"postprocess.cost_matrix must be {number} lists of {number} numbers, got {costs}"
            )

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Tune the thresholds on outputs [N, C] and labels [N] or bool [N, C], in float64.

        A class that is absent from val is not shifted; per class, its threshold is 1/2.
        """
        if labels.dtype == torch.bool:
            pairs = zip(outputs.double().unbind(1), labels.unbind(1), strict=True)
            cuts = torch.tensor([self.cut(z, y, 0.0) for z, y in pairs], dtype=torch.float64)
            self.fitted = {"shift": (0 - cuts).tolist(), "threshold": cuts.sigmoid().tolist()}
            return
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
        """The shifted outputs [N, C]."""
        return outputs + outputs.new_tensor(self.fitted["shift"])

    def cut(self, scores: Tensor, positive: Tensor, absent: float) -> float:
        """The best threshold on log scores or logits [N] for the bool labels `positive` [N].

        It is `absent` if there are no positives.
        """
        total = positive.sum()
        if not total:
            return absent

        def values(order: Tensor) -> Tensor:
            hits = positive[order].cumsum(0).double()
            predicted = torch.arange(1, len(hits) + 1)
            precision, recall = hits / predicted, hits / total
            if self.objective == "f1":
                return 2 * hits / (predicted + total)
            return torch.where(precision >= self.precision, 1 + recall, precision)

        return best_cut(scores, values, none=-1.0)

    def costs(self) -> Tensor:
        """The cost matrix [C, C], by label and prediction."""
        return torch.tensor(self.cost_matrix, dtype=torch.float64)

    def measure(self, outputs: Tensor, labels: Tensor) -> dict[str, float]:
        """Return the objective on outputs [N, C]: of `positive`, or the mean over the classes.

        Recall and F1 leave out classes without examples, precision those that are never predicted.
        """
        if labels.dtype == torch.bool:
            several = self.measured(*counts(outputs, labels), slice(None))
            return {} if self.objective == "f1" else several  # F1 is a metric of the task
        predictions, number = outputs.argmax(1), outputs.shape[1]
        if self.cost_matrix is not None:
            matrix = confusion_matrix(labels, predictions, number).double()
            return {"cost": ((matrix * self.costs()).sum() / len(labels)).item()}
        hits, actual, predicted = (
            ids.bincount(minlength=number).double()
            for ids in (labels[labels == predictions], labels, predictions)
        )
        classes = slice(None) if self.per_class else slice(self.positive, self.positive + 1)
        return self.measured(hits, predicted, actual, classes)

    def measured(
        self, hits: Tensor, predicted: Tensor, actual: Tensor, classes: slice
    ) -> dict[str, float]:
        """Return the mean objective over `classes`, from hits, predictions and examples [C]."""
        metrics = {"f1": f1(hits, predicted, actual).masked_fill(actual == 0, math.nan)}
        if self.objective != "f1":
            metrics = {"precision": hits / predicted, "recall": hits / actual}
        return {name: values[classes].nanmean().item() for name, values in metrics.items()}


def lead(log_p: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """The lead [N] of class c over the best other class in log_p [N, C], and that class [N]."""
    others = log_p.clone()
    others[:, c] = -torch.inf
    best, rival = others.max(1)
    return log_p[:, c] - best, rival


def best_cut(scores: Tensor, values: Callable[[Tensor], Tensor], none: float) -> float:
    """The threshold on scores [N] with the highest value; of several, the highest threshold.

    Given an order [N] of the examples, `values` returns the value [N] of accepting the first
    1, ..., N of them; `none` is the value of accepting none.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked = scores[order]
    edges = torch.cat([ranked[:1] + 2, ranked, ranked[-1:] - 2])  # 1 beyond the ends: none or all
    value = torch.cat([torch.tensor([none], dtype=torch.float64), values(order)])
    value[edges[:-1] == edges[1:]] = -torch.inf  # equal scores cannot be separated
    best = int(value.argmax())
    return ((edges[best] + edges[best + 1]) / 2).item()


def cheapest(log_p: Tensor, labels: Tensor, costs: Tensor, classes: list[int]) -> Tensor:
    """Log thresholds [C] with a low total cost, by coordinate descent over `classes`.

    `log_p` is [N, C], `labels` [N], `costs` [C, C] by label and prediction.
    """
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
