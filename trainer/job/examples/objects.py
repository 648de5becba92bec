"""What a detector finds of each object, and boxes that are suspect: wrong, missing or loose.

By what the model of a finished run finds in the images that it was trained on. As it has seen the
labels, it excuses some of their errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainer.task.shared.average_precision import areas

if TYPE_CHECKING:
    from torch import Tensor

AT_ONCE = 256  # images
SAME = 0.5  # intersection over union from which a found box is of an object
SURE = 0.5  # score from which a found box says that a label is missing or loose
NEAR, TIGHT = 0.3, 0.75  # between these intersections over union a box is loose
APART = 0.1  # up to this intersection over union a found box is of no labelled object
KINDS = ("wrong", "missing", "loose")


@dataclass(frozen=True)
class Objects:
    """The n labelled boxes of some images, crowds left out, and what is found of each."""

    image: np.ndarray  # [n] the place of its image
    box: np.ndarray  # [n] the place among the image's boxes
    kind: np.ndarray  # [n] class, from 1
    edges: np.ndarray  # [n, 4]
    score: np.ndarray  # [n] the best of its class that is found there; 0: none is
    other: np.ndarray  # [n] the class with the best score among the others there; 0: none
    other_score: np.ndarray  # [n]
    iou: np.ndarray  # [n] with the best sure box of its class nearby; NaN: there is none
    near: np.ndarray  # [n, 4] that box


@dataclass(frozen=True)
class Suspect:
    """A box that may be wrong, of another class; missing; or loose."""

    kind: str
    image: int  # the place of its image
    box: int | None  # the place among the image's boxes; None: there is none
    label: int  # class, 0: none
    suggested: int  # class
    suspicion: float  # from 0 to 1
    edges: np.ndarray  # [4] as labelled; of a missing one, as found
    found: np.ndarray | None  # [4] of a loose one, as found


def objects_of(records: dict[str, Tensor]) -> Objects:
    """What is found of each labelled box, by the records of N images."""
    names = ("objects", "boxes", "scores", "classes")
    parts = [of_images(*(records[name][at] for name in names)) for at in chunks(records)]
    starts = np.cumsum([0, *(len(at) for at in chunks(records))])
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    offset = np.repeat(starts[:-1], [len(part[0]) for part in parts])
    return Objects(columns[0] + offset, *columns[1:])


def chunks(records: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """The places of the images, some at once."""
    return torch.arange(len(records["objects"])).split(AT_ONCE)


def of_images(
    labels: Tensor, boxes: Tensor, scores: Tensor, classes: Tensor
) -> tuple[np.ndarray, ...]:
    """The fields of `Objects` for labels [B, N, 5] and found boxes [B, K, 4] of a few images."""
    kind = labels[..., 0]
    iou = overlap(boxes.double(), labels[..., 1:].double())  # [B, K, N]
    here = (classes > 0)[..., None] & (kind > 0)[:, None]
    same = classes[..., None] == kind[:, None]
    value = scores.double()[..., None].expand(iou.shape)
    score = value.masked_fill(~(here & same & (iou >= SAME)), 0).amax(1)
    other, which = value.masked_fill(~(here & ~same & (iou >= SAME)), 0).max(1)
    other_kind = classes.gather(1, which) * (other > 0)
    sure = value.masked_fill(~(here & same & (iou >= NEAR) & (value >= SURE)), 0)
    best, at = sure.max(1)
    nearest = iou.gather(1, at[:, None])[:, 0].masked_fill(best == 0, torch.nan)
    near = boxes.gather(1, at[..., None].expand(-1, -1, 4))
    image, box = (kind > 0).nonzero().T
    columns = (kind.long(), labels[..., 1:], score, other_kind, other, nearest, near)
    return image.numpy(), box.numpy(), *(column[image, box].numpy() for column in columns)


def overlap(boxes: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union [B, K, N] of boxes [B, K, 4] and [B, N, 4]; 0 for none."""
    both = shared(boxes, truth)
    union = areas(boxes)[..., None] + areas(truth)[:, None] - both
    return torch.where(union > 0, both / union.clamp(min=1e-12), 0.0)


def shared(boxes: Tensor, truth: Tensor) -> Tensor:
    """The area [B, K, N] that boxes [B, K, 4] and [B, N, 4] share."""
    own, other = boxes[:, :, None], truth[:, None]
    low = torch.maximum(own, other)[..., :2]
    return (torch.minimum(own, other)[..., 2:] - low).clamp(min=0).prod(-1)


def suspects(records: dict[str, Tensor], objects: Objects) -> list[Suspect]:
    """The suspect boxes, the most suspect first."""
    found = [*wrong(objects), *loose(objects), *missing(records)]
    return sorted(found, key=lambda each: -each.suspicion)


def wrong(objects: Objects) -> list[Suspect]:
    """Boxes where another class has a higher score than their own; by the difference."""
    gap = objects.other_score - objects.score
    return [
        Suspect(
            "wrong",
            int(objects.image[i]),
            int(objects.box[i]),
            int(objects.kind[i]),
            int(objects.other[i]),
            float(gap[i]),
            objects.edges[i],
            None,
        )
        for i in np.flatnonzero((gap > 0) & (objects.other_score >= SURE))
    ]


def loose(objects: Objects) -> list[Suspect]:
    """Boxes that overlap a sure box of their class, but not well; by how badly."""
    return [
        Suspect(
            "loose",
            int(objects.image[i]),
            int(objects.box[i]),
            int(objects.kind[i]),
            int(objects.kind[i]),
            float(1 - objects.iou[i]),
            objects.edges[i],
            objects.near[i],
        )
        for i in np.flatnonzero(objects.iou < TIGHT)
    ]


def missing(records: dict[str, Tensor]) -> list[Suspect]:
    """Sure boxes where no object is labelled, and no crowd; by their scores."""
    found = []
    for at in chunks(records):
        labels, boxes = records["objects"][at].double(), records["boxes"][at].double()
        iou = overlap(boxes, labels[..., 1:])
        within = shared(boxes, labels[..., 1:]) / areas(boxes)[..., None].clamp(min=1e-12)
        covered = torch.where((labels[..., 0] < 0)[:, None], within, iou).amax(2)
        sure = (records["scores"][at] >= SURE) & (records["classes"][at] > 0)
        for image, k in (sure & (covered <= APART)).nonzero().tolist():
            row = int(at[image])
            kind, score = int(records["classes"][row, k]), float(records["scores"][row, k])
            edges = records["boxes"][row, k].numpy()
            found.append(Suspect("missing", row, None, 0, kind, score, edges, None))
    return found
