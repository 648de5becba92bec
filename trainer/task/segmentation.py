"""Segmentation: a class for each pixel, masks [B, H, W], logits [B, C, H, W]."""

from typing import ClassVar

import torch
from torch import Tensor

from trainer.core.ranges import within
from trainer.dataset import Data
from trainer.task.base import Task
from trainer.task.classification import SCORES, Classification, true_probability

LEARNED = 0.95  # mean IoU


class Segmentation(Task):
    """Pixels whose label is `ignore_index` count nowhere.

    `mean_iou` is the mean over the classes of intersection over union, both summed over the split;
    classes that neither occur nor are predicted are left out. `accuracy` is that of the pixels.
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
        """One map of logits for each class."""
        return len(data.classes)

    def shape(self, data: Data) -> tuple[int, ...]:
        """[C, H, W]."""
        return (self.outputs(data), *data.shape[1:])

    def kept(self, labels: Tensor) -> Tensor:
        """Which pixels count, [B, H, W]."""
        if self.ignore_index is None:
            return torch.ones_like(labels, dtype=torch.bool)
        return labels != self.ignore_index

    def score(self, name: str, outputs: Tensor, labels: Tensor) -> Tensor:
        """How hard each pixel is, [B, H, W]; as easy as can be where it is ignored."""
        kept = self.kept(labels)
        scores = SCORES[name](outputs.softmax(1), labels.masked_fill(~kept, 0))
        return scores.masked_fill(~kept, -1.0 if name == "margin" else 0.0)

    def records(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Means over the pixels [B]; intersection and union of each class [B, C] in pixels."""
        kept = self.kept(labels)
        labels = labels.masked_fill(~kept, 0)
        pixels = kept.flatten(1).sum(1)
        prediction = outputs.argmax(1)
        hit = (prediction == labels) & kept
        classes = outputs.shape[1]
        intersection = per_class(labels, hit, classes)
        wanted, given = per_class(labels, kept, classes), per_class(prediction, kept, classes)
        union = wanted + given - intersection
        p = true_probability(outputs.softmax(1), labels) * kept
        return {
            "confidence": p.flatten(1).sum(1) / pixels.clamp(min=1),
            "pixel_accuracy": hit.flatten(1).sum(1) / pixels.clamp(min=1),
            "iou": mean_iou(intersection, union),
            "pixels": pixels,
            "intersection": intersection,
            "union": union,
        }

    def metrics(self, records: dict[str, Tensor]) -> dict[str, float]:
        """Mean IoU and pixel accuracy over all pixels of a split."""
        intersection, union = (records[name].double().sum(0) for name in ("intersection", "union"))
        hits = intersection.sum() / records["pixels"].sum().clamp(min=1)
        return {"accuracy": hits.item(), "mean_iou": mean_iou(intersection, union).item()}

    def learned(self, metrics: dict[str, float]) -> bool:
        """Whether nearly every pixel is right."""
        return metrics["mean_iou"] >= LEARNED


def per_class(classes: Tensor, mask: Tensor, number: int) -> Tensor:
    """Pixels of each class where the mask holds, [B, C], of classes [B, H, W]."""
    counts = torch.zeros(len(classes), number, device=classes.device)
    return counts.scatter_add_(1, classes.flatten(1), mask.flatten(1).float())


def mean_iou(intersection: Tensor, union: Tensor) -> Tensor:
    """The mean over the classes [..., C] that occur; 1 where none does."""
    there = union > 0
    iou = torch.where(there, intersection / union.clamp(min=1), 0).sum(-1)
    return torch.where(there.any(-1), iou / there.sum(-1).clamp(min=1), 1.0)
