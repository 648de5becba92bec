"""COCO's average precision and recall of boxes (Lin et al. 2014, https://arxiv.org/abs/1405.0312).

The rules of `pycocotools.cocoeval` for boxes, without a loop over images or thresholds. `judged`
judges the detections of each image by itself, `PrecisionRecall` puts images together: a split may
be judged in parts and by several processes, and the result is the same to the last bit.

Areas are those of the boxes, in pixels of the stored image; COCO's own annotations have the areas
of outlines in the original image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.task.shared.detections import Detections

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # T, of intersection over union
RECALLS = np.linspace(0, 1, 101)  # R, where precision is read off
AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
MOST = (1, 10, 100)  # M: detections of a class that count in an image
HALF, THREE_QUARTERS = 0, 5  # places in THRESHOLDS
NOTHING, HIT, MISS = 0, 1, 2  # what a detection is; NOTHING counts neither way
ROUNDING = float(np.spacing(1))  # pycocotools adds it to the number of detections


@torch.no_grad()
def judged(found: Detections, labels: Tensor) -> Tensor:
    """What each detection is, by area and threshold: NOTHING, HIT or MISS, uint8 [B, K, A, T].

    `labels` [B, N, 5] are rows of class, x0, y0, x1, y1; class 0 is padding, −c a crowd of class c.
    In descending order of their scores, detections take the free box of their class that they
    overlap most, of equal ones the last. Only where none is left do they take one that is ignored:
    a box outside the range of areas, or a crowd, which any number of them may take. What takes
    these is NOTHING, and so is a detection outside the range that takes none.
    """
    device = torch.device("cpu") if labels.device.type == "mps" else labels.device  # no float64
    labels, boxes = labels.double().to(device), found.boxes.double().to(device)
    classes = found.classes.to(device)
    overlap = overlaps(boxes, classes, labels)
    crowd = (labels[..., 0] < 0)[..., None, None]  # [B, N, 1, 1]
    ignored = crowd | outside(labels[..., 1:])[..., None]  # [B, N, A, 1]
    alone = torch.where(outside(boxes), NOTHING, MISS)[..., None]  # [B, K, A, 1]
    thresholds = torch.from_numpy(np.minimum(THRESHOLDS, 1 - 1e-10)).to(device)
    free = torch.ones(*ignored.shape[:3], len(thresholds), dtype=torch.bool, device=device)
    verdict = torch.zeros(*alone.shape[:3], len(thresholds), dtype=torch.uint8, device=device)
    for k in range(last_used(classes)):
        iou = overlap[:, k, :, None, None].expand(free.shape)
        near = (iou >= thresholds) & (free | crowd)
        counting = near & ~ignored
        hit, takes = counting.any(1), near.any(1)
        left = torch.where(hit[:, None], counting, near)
        at = last_argmax(iou.masked_fill(~left, -1.0))
        free &= ~(torch.zeros_like(free).scatter_(1, at, takes[:, None]))
        verdict[:, k] = torch.where(hit, HIT, torch.where(takes, NOTHING, alone[:, k]))
    return verdict.masked_fill_((classes == 0)[..., None, None], NOTHING)


def box_records(found: Detections, labels: Tensor) -> dict[str, Tensor]:
    """What `PrecisionRecall.of_records` and reports need of each image, [B, ...] by name."""
    return {
        "boxes": found.boxes,
        "scores": found.scores,
        "classes": found.classes,
        "verdict": judged(found, labels),
        "objects": labels,
    }


def last_used(classes: Tensor) -> int:
    """The number of detections to look at, of classes [B, K] that are 0 at the end.

    All of them on a GPU, which would have to be waited for.
    """
    if classes.device.type != "cpu" or not classes.numel():
        return classes.shape[1]
    return int((classes > 0).sum(1).max())


def last_argmax(values: Tensor) -> Tensor:
    """The place [B, 1, ...] of the largest of values [B, N, ...], of equal ones the last."""
    return values.shape[1] - 1 - values.flip(1).argmax(1, keepdim=True)


def overlaps(boxes: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
    """Intersection over union [B, K, N] of boxes [B, K, 4] and labels; −1 for another class.

    For a crowd, over the area of the detection. The boxes of padding are of no class.
    """
    kind, truth = labels[:, None, :, 0], labels[:, None, :, 1:]
    own = boxes[:, :, None]
    low, high = torch.maximum(own, truth)[..., :2], torch.minimum(own, truth)[..., 2:]
    both = (high - low).clamp(min=0).prod(-1)
    own_area = areas(own)
    union = torch.where(kind < 0, own_area, own_area + areas(truth) - both)
    same = (kind.abs() == classes[..., None]) & (kind != 0)
    return torch.where(same, both / union, -1.0)


def areas(boxes: Tensor) -> Tensor:
    """The areas [...] of boxes [..., 4]."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def outside(boxes: Tensor) -> Tensor:
    """Whether the area of each box [..., 4] is outside each range, bool [..., A]."""
    low, high = torch.tensor(list(AREAS.values()), dtype=torch.float64, device=boxes.device).T
    area = areas(boxes)[..., None]
    return (area < low) | (area > high)


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall of each class of a split; NaN where it has no box of the class."""

    precision: Tensor  # [C, A, T, R], of the 100 best detections of a class in an image
    recall: Tensor  # [C, A, M, T]
    objects: Tensor  # [C, A], boxes that count, int64

    @classmethod
    def of(
        cls, scores: Tensor, classes: Tensor, verdict: Tensor, labels: Tensor, number: int
    ) -> "PrecisionRecall":
        """Of scores [N, K], classes [N, K] from 1 to `number`, `judged` [N, K, A, T] and labels."""
        order = scores.flatten().argsort(descending=True, stable=True)
        kind = classes.flatten()[order]
        verdict = verdict.flatten(0, 1)
        parts = []
        for c in range(1, number + 1):
            rank = ((classes == c).cumsum(1) - 1).flatten()  # among those of the class and image
            own = order[kind == c]
            parts.append(of_class(verdict[own], rank[own], objects_of(labels, c)))
        precision, recall, objects = (torch.stack(part) for part in zip(*parts, strict=True))
        return cls(precision, recall, objects)

    @classmethod
    def of_records(cls, records: dict[str, Tensor], number: int) -> "PrecisionRecall":
        """Of the `box_records` of a whole split, with `number` classes."""
        names = ("scores", "classes", "verdict", "objects")
        scores, classes, verdict, labels = (records[name].cpu() for name in names)
        return cls.of(scores, classes, verdict, labels, number)

    def metrics(self) -> dict[str, float]:
        """Mean average precision over the classes: of all thresholds, at 0.5 and at 0.75."""
        halves = {"map_50": self.ap("all", HALF), "map_75": self.ap("all", THREE_QUARTERS)}
        return means({"map": self.ap("all"), **halves})

    def details(self) -> dict[str, float]:
        """The others of COCO's twelve numbers: by area, and average recall; torchmetrics' names."""
        ap = {f"map_{area}": self.ap(area) for area in list(AREAS)[1:]}
        ar = {f"mar_{most}": self.ar("all", most) for most in MOST}
        return means(ap | ar | {f"mar_{area}": self.ar(area) for area in list(AREAS)[1:]})

    def ap(self, area: str, threshold: int | None = None) -> Tensor:
        """Average precision [C], at one place in THRESHOLDS or over all of them."""
        found = self.precision[:, list(AREAS).index(area)].mean(-1)
        return found.mean(-1) if threshold is None else found[:, threshold]

    def ar(self, area: str, most: int = MOST[-1]) -> Tensor:
        """Recall [C] of the `most` best detections of a class in an image, over all thresholds."""
        return self.recall[:, list(AREAS).index(area), MOST.index(most)].mean(-1)

    def by_class(self, names: Sequence[str]) -> dict[str, dict[str, float | int]]:
        """Average precision, recall and boxes of each class by name."""
        values = {
            "ap": self.ap("all"),
            "ap_50": self.ap("all", HALF),
            "ap_75": self.ap("all", THREE_QUARTERS),
            "ar_100": self.ar("all"),
            "objects": self.objects[:, 0],
        }
        columns = {name: column.tolist() for name, column in values.items()}
        return {
            name: {measure: column[c] for measure, column in columns.items()}
            for c, name in enumerate(names)
        }


def means(values: dict[str, Tensor]) -> dict[str, float]:
    """The mean over the classes that have one, of values [C] by name."""
    return {name: value.nanmean().item() for name, value in values.items()}


def objects_of(labels: Tensor, kind: int) -> Tensor:
    """The number of boxes of a class that count, by area [A], in labels [N, M, 5]."""
    boxes = labels.double().flatten(0, 1)
    counts = (boxes[:, :1] == kind) & ~outside(boxes[:, 1:])
    return counts.sum(0)


def of_class(verdict: Tensor, rank: Tensor, objects: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Precision [A, T, R], recall [A, M, T] and objects [A] of a class.

    Of its detections in descending order of the scores: what they are [n, A, T], and their rank [n]
    in their image, from 0.
    """
    number = objects.double()[:, None]
    absent = (objects == 0)[:, None, None]
    hits = verdict == HIT
    recall = torch.stack([hits[rank < most].sum(0) / number for most in MOST], 1)
    counted = verdict[rank < MOST[-1]]
    true = (counted == HIT).double().cumsum(0)  # [n, A, T]
    false = (counted == MISS).double().cumsum(0)
    precision = true / (true + false + ROUNDING)
    best = precision.flip(0).cummax(0).values.flip(0) if len(precision) else precision
    best = torch.cat([best, best.new_zeros(1, *best.shape[1:])])  # where a recall is not reached
    reached = (true / number).permute(1, 2, 0).contiguous()
    wanted = torch.from_numpy(RECALLS).expand(*reached.shape[:2], -1).contiguous()
    at = torch.searchsorted(reached, wanted)
    read = best.permute(1, 2, 0).gather(2, at)
    return read.masked_fill(absent, torch.nan), recall.masked_fill(absent, torch.nan), objects
