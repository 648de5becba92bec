"""Which true box an anchor or a region is matched with, as a function of tensors without a loop."""

import torch
from torch import Tensor
from torchvision.ops import box_iou


def overlaps(regions: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union, [B, N, E], of boxes [B, N, 5] and regions [E, 4] or [B, E, 4]."""
    if regions.ndim == 2:
        return box_iou(boxes[..., 1:].reshape(-1, 4), regions).view(*boxes.shape[:2], -1)
    pairs = zip(boxes[..., 1:], regions, strict=True)
    return torch.stack([box_iou(own, near) for own, near in pairs])


def best_boxes(iou: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The highest IoU of each region with a true box, and that box's place, each [B, E].

    Crowds and padding are no boxes: without any, the IoU is −1. Of equal ones the first is taken.
    """
    return iou.masked_fill(boxes[..., :1] <= 0, -1.0).max(1)


def forced(iou: Tensor, boxes: Tensor) -> Tensor:
    """The box that must be matched with a region, [B, E], or −1: the region is the box's best.

    Whatever the IoU is. Of two boxes with one best region the later has it, on every device.
    """
    number = iou.shape[2]
    there = boxes[..., 0] > 0
    own = torch.where(there, iou.argmax(2), number)  # [B, N]
    order = torch.arange(iou.shape[1], device=iou.device).expand_as(own)
    nobody = torch.full((len(iou), number + 1), -1, device=iou.device)
    return nobody.scatter_reduce(1, own, order, "amax")[:, :-1]


def crowded(iou: Tensor, boxes: Tensor, regions: Tensor, threshold: float) -> Tensor:
    """Mask [B, E] of the regions that lie in a crowd by `threshold` of their own area."""
    crowd = area(boxes[..., 1:])[..., None]  # [B, N, 1]
    own = area(regions).reshape(-1, 1, regions.shape[-2])  # [B or 1, 1, E]
    inside = iou * (crowd + own) / ((1 + iou) * own)  # the intersection over the region's area
    return (inside * (boxes[..., :1] < 0)).amax(1) >= threshold


def area(boxes: Tensor) -> Tensor:
    """The area of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def labelled(boxes: Tensor, matched: Tensor, unknown: Tensor) -> Tensor:
    """The label [B, E] of each region: the class of its box, 0 without one, −1 where `unknown`.

    `matched` [B, E] is the place of its box among [B, N, 5], or −1.
    """
    kind = boxes[..., 0].gather(1, matched.clamp(min=0)).long()
    return torch.where(matched >= 0, kind, -unknown.long())


def edges_of(boxes: Tensor, matched: Tensor) -> Tensor:
    """The edges [B, E, 4] of the boxes [B, N, 5] at the places `matched` [B, E]."""
    at = matched.clamp(min=0)[..., None].expand(-1, -1, 4)
    return boxes[..., 1:].gather(1, at)


def by_object(values: Tensor, matched: Tensor, number: int) -> Tensor:
    """The mean of values [B, E] over the regions that each of N objects is matched with, [B, N].

    NaN for an object without any.
    """
    places = torch.arange(number, device=matched.device)[:, None]
    own = (matched[:, None] == places).to(values.dtype)  # [B, N, E]
    return torch.einsum("bne,be->bn", own, values) / own.sum(2)
