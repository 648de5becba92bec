"""Segmentation: a class for each pixel, masks [B, H, W], logits [B, C, H, W]."""

from typing import ClassVar

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.dataset import Data
from trainer.task.base import Report, Task
from trainer.task.classification import SCORES, Classification, true_probability

LEARNED = 0.95  # mean IoU of a model that has memorised its examples


class Segmentation(Task):
    """One class per pixel; pixels labelled `ignore_index` are left out.

    `mean_iou` is the mean over classes of intersection / union, both summed over the split; classes
    that neither occur nor are predicted are left out. `accuracy` is pixel accuracy. Both are NaN
    where no pixel counts.
    """

    targets = ("mask",)
    scores = Classification.scores
    fields = ("confidence", "iou")
    tracked: ClassVar = {"accuracy": "pixel_accuracy"}

    def __init__(self, *, ignore_index: int | None = 255) -> None:
        if ignore_index is not None:
            within("task.ignore_index", ignore_index, "[0, 255]")
        self.ignore_index = ignore_index

    def outputs(self, data: Data) -> int:
        """One logit map for each class."""
        return len(data.classes)

    def shape(self, data: Data) -> tuple[int, ...]:
        """The shape of the logits, [C, H, W]."""
        return (self.outputs(data), *data.shape[1:])

    def counted(self, labels: Tensor) -> Tensor:
        """True for pixels not labelled `ignore_index`, bool [B, H, W] from labels [B, H, W]."""
        if self.ignore_index is None:
            return torch.ones_like(labels, dtype=torch.bool)
        return labels != self.ignore_index

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """Difficulty of each pixel [B, H, W] from outputs [B, C, H, W].

        Ignored pixels have the lowest possible score.
        """
        counted = self.counted(labels)
        scores = SCORES[name](outputs.softmax(1), labels.masked_fill(~counted, 0))
        return scores.masked_fill(~counted, -1.0 if name == "margin" else 0.0)

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Means over counted pixels [B]; intersection and union in pixels per class [B, C].

        Of an image whose pixels are all ignored, confidence and IoU are NaN.
        """
        counted = self.counted(labels)
        labels = labels.masked_fill(~counted, 0)
        pixels = counted.flatten(1).sum(1)
        prediction = outputs.argmax(1)
        hit = (prediction == labels) & counted
        classes = outputs.shape[1]
        intersection = per_class(labels, hit, classes)
        actual = per_class(labels, counted, classes)
        predicted = per_class(prediction, counted, classes)
        union = actual + predicted - intersection
        p = true_probability(outputs.softmax(1), labels) * counted
        return {
            "confidence": p.flatten(1).sum(1) / pixels,
            "pixel_accuracy": hit.flatten(1).sum(1) / pixels.clamp(min=1),
            "iou": mean_iou(intersection, union),
            "pixels": pixels,
            "intersection": intersection,
            "union": union,
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Pixel accuracy and mean IoU over all pixels of a split."""
        intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
        hits = intersection.sum() / records["pixels"].sum()
        return {"accuracy": hits.item(), "mean_iou": mean_iou(intersection, union).item()}

    def report(
        self, outputs: Tensor, records: dict[str, Tensor], classes: tuple[str, ...]
    ) -> Report:
        """Intersection over union of each class, and the pixels of the union."""
        intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
        rows = zip(classes, (intersection / union).tolist(), union.long().tolist(), strict=True)
        return Report(classes={name: {"iou": iou, "union": pixels} for name, iou, pixels in rows})

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether the mean IoU is at least 0.95."""
        return metrics["mean_iou"] >= LEARNED


def per_class(labels: Tensor, mask: Tensor, classes: int) -> Tensor:
    """Pixels of each class [B, classes] in labels [B, H, W] where the mask [B, H, W] is true."""
    counts = torch.zeros(len(labels), classes, device=labels.device)
    return counts.scatter_add_(1, labels.flatten(1), mask.flatten(1).float())


def mean_iou(intersection: Tensor, union: Tensor) -> Tensor:
    """Mean IoU [...] over the classes [..., C] with a nonempty union; NaN if there are none."""
    nonempty = union > 0
    iou = torch.where(nonempty, intersection / union.clamp(min=1), 0).sum(-1)
    return iou / nonempty.sum(-1)
