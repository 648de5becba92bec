"""Batched kernels that move pixels, with one set of parameters per image.

Each image gets the result of torchvision.transforms.v2.functional, with its conventions: angles in
degrees, positions in pixels. Outside an image the value is `fill`. At the border, torchvision's
bilinear `affine` blends in a fill other than None twice; here it is blended in once, as if it
surrounded the image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def affine_matrix(
    angle: Tensor,
    *,
    right: Tensor | float = 0.0,
    down: Tensor | float = 0.0,
    scale: Tensor | float = 1.0,
    shear_x: Tensor | float = 0.0,
    shear_y: Tensor | float = 0.0,
    centre: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Inverse affine matrices [B, 2, 3]: output pixel (x, y, 1), from the centre, to its source.

    As in torchvision's `affine`, `angle` [B] is clockwise and `right` and `down` are in pixels; all
    but the angle are [B] or one number for all. The fixed point is `centre` (x, y), relative to the
    centre of the image.
    """
    turn, lean, rise = (torch.deg2rad(torch.as_tensor(a)) for a in (angle, shear_x, shear_y))
    a = (turn - rise).cos() / rise.cos()
    b = -(a * lean.tan() + turn.sin())
    c = (turn - rise).sin() / rise.cos()
    d = turn.cos() - c * lean.tan()
    a, b, c, d = a / scale, b / scale, c / scale, d / scale
    to_x, to_y = centre[0] + right, centre[1] + down
    of_x = torch.stack([d, -b, centre[0] - d * to_x + b * to_y], dim=-1)
    of_y = torch.stack([-c, a, centre[1] + c * to_x - a * to_y], dim=-1)
    return torch.stack([of_x, of_y], dim=-2)


def warp(images: Tensor, matrices: Tensor, *, nearest: bool = False, fill: float = 0.0) -> Tensor:
    """Move the pixels of [B, C, H, W] by inverse matrices [B, 2, 3] from `affine_matrix`."""
    height, width = images.shape[-2:]
    column = torch.arange(width, device=images.device) - (width - 1) / 2
    row = torch.arange(height, device=images.device) - (height - 1) / 2
    across = matrices[:, :, :1] * column + matrices[:, :, 2:]
    return pick(images, across, matrices[:, :, 1:2] * row, nearest=nearest, fill=fill)


def sample(
    images: Tensor, rows: Tensor, columns: Tensor, *, nearest: bool = False, fill: float = 0.0
) -> Tensor:
    """Pixels [B, C, H', W'] of [B, C, H, W] at rows [B, H'] and columns [B, W'], from 0."""
    x, y = columns - (images.shape[-1] - 1) / 2, rows - (images.shape[-2] - 1) / 2
    across = torch.stack([x, torch.zeros_like(x)], dim=1)
    down = torch.stack([torch.zeros_like(y), y], dim=1)
    return pick(images, across, down, nearest=nearest, fill=fill)


def pick(images: Tensor, across: Tensor, down: Tensor, *, nearest: bool, fill: float) -> Tensor:
    """Pixels [B, C, H', W'] at (x, y) = across [B, 2, W'] + down [B, 2, H'], from the centre."""
    grid = images.new_empty(len(images), down.shape[2], across.shape[2], 2)
    for axis, length in enumerate((images.shape[-1], images.shape[-2])):
        x, y = across[:, axis, None, :] * (2 / length), down[:, axis, :, None] * (2 / length)
        torch.add(x, y, out=grid[..., axis])
    mode = "nearest" if nearest else "bilinear"
    if fill == 0:
        return F.grid_sample(images, grid, mode=mode, align_corners=False)
    return F.grid_sample(images - fill, grid, mode=mode, align_corners=False) + fill


def cut(
    images: Tensor,
    top: Tensor,
    left: Tensor,
    padding: tuple[int, int],
    fill: float = 0.0,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Pad [B, C, H, W] by (rows, columns) per side, then crop `size` at `top` and `left` [B].

    None is H × W.
    """
    height, width = size or images.shape[-2:]
    rows, columns = padding
    padded = F.pad(images, [columns, columns, rows, rows], value=fill)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view [B, C, y, x, H, W]
    return windows[torch.arange(len(images), device=images.device), :, top, left]


def resize_weights(size: int, resized: Tensor, offset: Tensor, output: int | None = None) -> Tensor:
    """Weights [B, output, input] that resize an axis of `size` pixels to `resized` [B] pixels.

    The resized axis starts at `offset` [B] of an output of `output` pixels, by default `size`. The
    weights are torchvision's for bilinear resizing with antialiasing: triangles as wide as an
    output pixel, but at least as an input pixel. Rows outside the resized image are zero.
    """
    inputs = torch.arange(size, device=resized.device)
    outputs = torch.arange(output or size, device=resized.device) - offset[:, None]
    shrink = (size / resized)[:, None, None]  # input pixels in an output pixel
    distance = (inputs + 0.5) - (outputs[:, :, None] + 0.5) * shrink
    weights = (1 - distance.abs() / shrink.clamp(min=1)).clamp(min=0)
    inside = (outputs >= 0) & (outputs < resized[:, None])
    return weights / weights.sum(2, keepdim=True).clamp(min=1e-6) * inside[:, :, None]


def piece_weights(size: int, start: Tensor, length: Tensor, output: int) -> Tensor:
    """Weights [B, output, size] that resize pieces `start`, `length` [B] of an axis to `output`.

    Triangles as those of `resize_weights`; nothing outside a piece counts.
    """
    inputs = torch.arange(size, device=start.device)
    centres = torch.arange(output, device=start.device) + 0.5
    shrink = (length / output)[:, None, None]  # input pixels in an output pixel
    inside = (inputs - start[:, None])[:, None]  # [B, 1, size]
    distance = (inside + 0.5) - centres[:, None] * shrink
    weights = (1 - distance.abs() / shrink.clamp(min=1)).clamp(min=0)
    weights = weights * ((inside >= 0) & (inside < length[:, None, None]))
    return weights / weights.sum(2, keepdim=True)


def rectangle(
    top: Tensor, left: Tensor, height: Tensor | int, width: Tensor | int, size: tuple[int, int]
) -> Tensor:
    """Masks bool [B, H, W], true inside the rectangles; parts beyond the border are ignored."""
    row = torch.arange(size[0], device=top.device)
    column = torch.arange(size[1], device=top.device)
    bottom, right = top + height, left + width
    tall = (row >= top[:, None]) & (row < bottom[:, None])
    wide = (column >= left[:, None]) & (column < right[:, None])
    return tall[:, :, None] & wide[:, None, :]
