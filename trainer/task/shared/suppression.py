"""From boxes with probabilities to detections: non-maximum suppression in each class."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from trainer.task.shared.detections import Detections

CANDIDATES = 1000  # of an image, before the suppression


def detections(
    boxes: Tensor, p: Tensor, *, most: int, score_threshold: float, nms_iou: float
) -> Detections:
    """At most `most` boxes an image, of boxes [B, E, 4] or [B, E, C, 4] and p [B, E, C].

    A box with a probability below `score_threshold`, without an area, or with an IoU above
    `nms_iou` with a more probable box of its class, is none. Only the 1000 most probable of an
    image are looked at.
    """
    number, classes = p.shape[1:]
    scores, at = p.flatten(1).topk(min(CANDIDATES, number * classes))
    kind = at % classes + 1
    flat = boxes.flatten(1, 2) if boxes.ndim == 4 else boxes
    place = at if boxes.ndim == 4 else at // classes
    near = flat.gather(1, place[..., None].expand(-1, -1, 4))
    known = (scores >= score_threshold) & (near[..., 2:] > near[..., :2]).all(2)
    out = empty(len(p), most, p)
    for row, mask in enumerate(known):
        own, score, c = near[row, mask], scores[row, mask], kind[row, mask]
        kept = batched_nms(own, score, c, nms_iou)[:most]
        out.boxes[row, : len(kept)] = own[kept]
        out.scores[row, : len(kept)] = score[kept]
        out.classes[row, : len(kept)] = c[kept]
    return out


def empty(images: int, most: int, like: Tensor) -> Detections:
    """No detections, for B images."""
    return Detections(
        like.new_zeros(images, most, 4),
        like.new_zeros(images, most),
        torch.zeros(images, most, dtype=torch.int64, device=like.device),
    )
