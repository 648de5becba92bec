"""Multi-label classification: any number of classes per image; bool [B, C], logits [B, C].

Each class is a binary problem with the probability σ(z). A class is predicted where its logit is
above 0, a probability of 1/2; `postprocess=threshold` moves that to a threshold for each class.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from trainer.dataset import Data
from trainer.task.base import Report, Task
from trainer.task.shared.by_label import counts, f1
from trainer.task.shared.ranking import average_precision

LEARNED = 0.99  # mAP and label accuracy of a model that has memorised its examples


class Multilabel(Task):
    """Any number of classes for each image.

    Of an example, `confidence` is the mean over the classes of the probability of the right answer,
    `logit_margin` the lowest logit of a right answer, `doubt` the class that it belongs to, and
    `correct` 1 if every answer is right.
    """

    targets = ("multilabel",)
    scores = ("error", "confidence", "margin", "entropy", "el2n")
    fields = ("confidence", "logit_margin", "correct", "el2n", "doubt")
    tracked: ClassVar = {"label_accuracy": "label_accuracy"}

    def outputs(self, data: Data) -> int:
        """One logit for each class."""
        return len(data.classes)

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """Difficulty of each example [B] from outputs [B, C] and labels bool [B, C]."""
        return SCORES[name](outputs, labels)

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The training records [B], and logits and labels [B, C]."""
        return {**self.training_records(outputs, labels), "logit": outputs, "label": labels}

    def training_records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The values [B] kept by the difficulty store, and the fraction of right answers."""
        signed = right_logits(outputs, labels)
        right = (outputs > 0) == labels.bool()
        lowest, doubt = signed.min(1)
        return {
            "confidence": signed.sigmoid().mean(1),
            "logit_margin": lowest,
            "correct": right.all(1).float(),
            "el2n": (1 - signed.sigmoid()).norm(dim=1),
            "doubt": doubt,
            "label_accuracy": right.float().mean(1),
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Mean average precision, F1, and the fractions of right examples and answers.

        `mAP` is the mean over the classes with an example in the split: without one, average
        precision is undefined. `macro_f1` is the mean over the classes, without those that neither
        occur nor are predicted; `micro_f1` counts all answers alike. `exact_match` is the fraction
        of examples whose every answer is right, `label_accuracy` that of right answers.
        """
        logits, labels = records["logit"], records["label"].bool()
        hits, predicted, actual = counts(logits, labels)
        return {
            "mAP": average_precision(logits, labels).nanmean().item(),
            "macro_f1": f1(hits, predicted, actual).nanmean().item(),
            "micro_f1": f1(hits.sum(), predicted.sum(), actual.sum()).item(),
            "exact_match": records["correct"].double().mean().item(),
            "label_accuracy": records["label_accuracy"].double().mean().item(),
        }

    def report(
        self, outputs: Tensor, records: dict[str, Tensor], classes: tuple[str, ...]
    ) -> Report:
        """Average precision, precision, recall, F1 and the number of examples of each class."""
        logits, labels = records["logit"], records["label"].bool()
        hits, predicted, actual = counts(logits, labels)
        measures = {
            "average_precision": average_precision(logits, labels),
            "precision": hits / predicted,
            "recall": hits / actual,
            "f1": f1(hits, predicted, actual),
        }
        by_class: dict[str, dict[str, float | int]] = {
            name: {key: values[c].item() for key, values in measures.items()}
            | {"support": int(actual[c])}
            for c, name in enumerate(classes)
        }
        return Report(classes=by_class)

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether mAP and the fraction of right answers are at least 0.99."""
        return min(metrics["mAP"], metrics["label_accuracy"]) >= LEARNED


def right_logits(outputs: Tensor, labels: Tensor) -> Tensor:
    """The logits [B, C] of the right answers: z where a class is a label, −z where it is not."""
    return torch.where(labels.bool(), outputs, -outputs)


def entropy(outputs: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001
    """The mean over the classes of the entropy [B] of the answer."""
    p = torch.stack([outputs.sigmoid(), (-outputs).sigmoid()])
    return torch.special.entr(p).sum(0).mean(1)


SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "error": lambda z, labels: ((z > 0) != labels).float().mean(1),
    "confidence": lambda z, labels: 1 - right_logits(z, labels).sigmoid().mean(1),
    "margin": lambda z, labels: 1 - 2 * right_logits(z, labels).amin(1).sigmoid(),
    "entropy": entropy,
    "el2n": lambda z, labels: (1 - right_logits(z, labels).sigmoid()).norm(dim=1),
}
