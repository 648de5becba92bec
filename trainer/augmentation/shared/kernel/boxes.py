"""Where boxes are after their image has moved: corners through the same map, as in torchvision.

Edges are [B, N, 4]: x0, y0, x1, y1 in pixels. None of these cuts them off at the border; `kept`
does.
"""

import torch
from torch import Tensor


def mapped(edges: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """The boxes around the corners moved by inverse matrices [B, 2, 3], as `warp` moves pixels.

    `size` is the height and width of the images.
    """
    height, width = size
    x0, y0, x1, y1 = edges.unbind(-1)
    x, y = torch.stack([x0, x1, x0, x1], -1), torch.stack([y0, y0, y1, y1], -1)
    a, b, c, d = (matrices[:, row, column, None, None] for row in (0, 1) for column in (0, 1))
    x = x - width / 2 - matrices[:, 0, 2, None, None]
    y = y - height / 2 - matrices[:, 1, 2, None, None]
    determinant = a * d - b * c
    across = (d * x - b * y) / determinant + width / 2
    down = (a * y - c * x) / determinant + height / 2
    return torch.stack([across.amin(-1), down.amin(-1), across.amax(-1), down.amax(-1)], -1)


def shifted(edges: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """The boxes moved to the right and down by pixels [B]."""
    return edges + torch.stack([right, down, right, down], -1)[:, None]


def stretched(edges: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """The boxes with all positions multiplied by the factors [B] of the image's sides."""
    return edges * torch.stack([width, height, width, height], -1)[:, None]


def mirrored(edges: Tensor, which: Tensor, length: int, axis: int) -> Tensor:
    """The boxes of the images `which` [B] reversed along an axis of `length` pixels; x is 0."""
    out = edges.clone()
    out[..., axis] = length - edges[..., axis + 2]
    out[..., axis + 2] = length - edges[..., axis]
    return torch.where(which[:, None, None], out, edges)


def kept(boxes: Tensor, edges: Tensor, size: tuple[int, int], min_visible: float) -> Tensor:
    """The boxes [B, N, 5] with moved edges, cut off at the border of images of height, width.

    One of which less than the fraction `min_visible` is left in the image counts nothing: its class
    becomes negative. What is wholly outside is padding.
    """
    kind = boxes[..., 0]
    inside = torch.empty_like(edges)
    for axis, length in enumerate((size[1], size[0])):
        inside[..., axis::2] = edges[..., axis::2].clamp(0, length)
    before, left = areas(edges), areas(inside)
    kind = torch.where(left >= min_visible * before, kind, -kind.abs())
    out = torch.cat([kind[..., None], inside], -1)
    return out * ((left > 0) & (kind != 0))[..., None]


def areas(edges: Tensor) -> Tensor:
    """The areas [B, N] of boxes."""
    return (edges[..., 2] - edges[..., 0]) * (edges[..., 3] - edges[..., 1])
