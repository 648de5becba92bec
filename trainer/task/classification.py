"""Classification: class ids [B], logits [B, C]."""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.dataset import Data
from trainer.report.images import confusion_matrix
from trainer.task.base import Report, Task
from trainer.task.shared.by_class import ByClass
from trainer.task.shared.calibration import calibration_error
from trainer.task.shared.ranking import auroc, average_precision

LEARNED = 0.99  # accuracy of a model that has memorised its examples
TOP = 5
MANY = 10  # classes from which the label's being among the best five says something
AT_ONCE = 4096  # rows of outputs in float64
MATRIX = 1000  # classes up to which the confusion matrix is kept


class Classification(Task):
    """One class for each image."""

    targets = ("class",)
    scores = ("error", "confidence", "margin", "entropy", "el2n")
    fields = ("confidence", "logit_margin", "correct", "el2n", "prediction")
    tracked: ClassVar = {"accuracy": "correct"}

    def outputs(self, data: Data) -> int:
        """One logit for each class."""
        return len(data.classes)

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """Difficulty of each example [B] from outputs [B, C] and labels [B]."""
        return SCORES[name](outputs.softmax(1), labels)

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The training records and those of the metrics, [B] each; `nll` is plain cross entropy."""
        return {
            **self.training_records(outputs, labels),
            "nll": F.cross_entropy(outputs, labels, reduction="none"),
            "margin": -margin(outputs.softmax(1), labels),
            "label": labels,
        }

    def training_records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The values [B] kept by the difficulty store."""
        p = outputs.softmax(1)
        prediction = outputs.argmax(1)
        return {
            "confidence": true_probability(p, labels),
            "logit_margin": -margin(outputs, labels),
            "correct": (prediction == labels).float(),
            "el2n": el2n(p, labels),
            "prediction": prediction,
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Accuracy, balanced accuracy (mean recall), negative log likelihood, and calibration.

        `ece` is the expected calibration error of the predicted class's probability (see
        calibration_error), `brier` the mean of Σ_c (p_c − [c = y])².
        """
        correct, labels = records["correct"].double(), records["label"]
        hits = torch.zeros(int(labels.max()) + 1, dtype=torch.float64).index_add_(
            0, labels, correct
        )
        counts = labels.bincount()
        p, margin = records["confidence"], records["margin"]
        top = torch.maximum(p, p - margin)  # p_y, or the largest other probability
        return {
            "accuracy": correct.mean().item(),
            "balanced_accuracy": (hits[counts > 0] / counts[counts > 0]).mean().item(),
            "nll": records["nll"].double().mean().item(),
            "ece": calibration_error(top, correct),
            "brier": records["el2n"].double().square().mean().item(),
        }

    def report(
        self, outputs: Tensor, records: dict[str, Tensor], classes: tuple[str, ...]
    ) -> Report:
        """Macro F1, top-5 accuracy from 10 classes on, AUROC; measures by class; confusion.

        AUROC is the mean over classes, each against all others; of two classes both have the same.
        Average precision is for two classes: that of the second. All leave out classes for which
        they are undefined. Of more than 1000 classes there is no confusion matrix.
        """
        labels, number = records["label"], len(classes)
        counts = confusion_matrix(labels, records["prediction"], number)
        measures = ByClass.of(counts)
        total = torch.cat([part.double().logsumexp(1) for part in outputs.split(AT_ONCE)])
        areas = [auroc(outputs[:, c] - total, labels == c) for c in range(number)]
        metrics = {"macro_f1": measures.f1.nanmean().item()}
        if number >= MANY:
            best = outputs.topk(TOP, 1).indices
            metrics["top5_accuracy"] = (best == labels[:, None]).any(1).double().mean().item()
        metrics["auroc"] = torch.tensor(areas, dtype=torch.float64).nanmean().item()
        if number == 2:
            found = average_precision(outputs[:, 1] - total, labels == 1)
            metrics["average_precision"] = found.item()
        by_class = {}
        for c, name in enumerate(classes):
            values = measures.precision[c], measures.recall[c], measures.f1[c]
            precision, recall, f1 = (value.item() for value in values)
            by_class[name] = {
                "precision": precision,
                "recall": recall,
                "f1": f1,
                "auroc": areas[c],
                "support": int(measures.support[c]),
            }
        return Report(metrics, by_class, counts.tolist() if number <= MATRIX else None)

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the accuracy is at least 0.99."""
        return metrics["accuracy"] >= LEARNED


def true_probability(p: Tensor, labels: Tensor) -> Tensor:
    """The label's probability p_y [B, ...] from p [B, C, ...] and labels [B, ...]."""
    return p.gather(1, labels[:, None])[:, 0]


def margin(p: Tensor, labels: Tensor) -> Tensor:
    """max_{c≠y} p_c − p_y, [B, ...] from p or logits [B, C, ...] and labels [B, ...]."""
    others = p.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - true_probability(p, labels)


def el2n(p: Tensor, labels: Tensor) -> Tensor:
    """‖p − onehot(y)‖₂ (Paul et al. 2021), [B, ...] from p [B, C, ...] and labels [B, ...].

    https://arxiv.org/abs/2107.07075, definition 2.2.
    """
    return (p - torch.zeros_like(p).scatter_(1, labels[:, None], 1.0)).norm(dim=1)


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "error": lambda p, labels: (p.argmax(1) != labels).float(),
    "confidence": lambda p, labels: 1 - true_probability(p, labels),
    "margin": margin,
    "entropy": lambda p, labels: torch.special.entr(p).sum(1),  # noqa: ARG005
    "el2n": el2n,
}
