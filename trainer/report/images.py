"""Pictures as uint8 arrays: grids of images and confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

if TYPE_CHECKING:
    pass

CELL = 28  # pixels of a cell of a confusion matrix
GRID_SIDE = 96  # small images are enlarged to about this


def grid(images: Tensor, columns: int = 8) -> np.ndarray:
    """Images [N, C, H, W] in [0, 1] side by side, uint8 [rows·H, columns·W, 3]."""
    pixels = images.detach().cpu().clamp(0, 1).mul(255).byte()
    pixels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    number, _, height, width = pixels.shape
    scale = max(1, GRID_SIDE // max(height, width))
    pixels = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = height * scale + 2, width * scale + 2
    rows = -(-number // columns)
    out = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, image in enumerate(pixels.numpy()):
        top, left = i // columns * height, i % columns * width
        out[top : top + height - 2, left : left + width - 2] = image.transpose(1, 2, 0)
    return out


def confusion(matrix: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """A matrix [C, C] of counts, rows the labels, shaded by the share of its row; [H, W, 3]."""
    counts = matrix.numpy()
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    number = len(classes)
    margin = 8 + 7 * max(len(name) for name in classes)
    image = Image.new("RGB", (margin + number * CELL, margin + number * CELL), "white")
    draw = ImageDraw.Draw(image)
    for row in range(number):
        draw.text((4, margin + row * CELL + 8), classes[row], fill="black")
        draw.text((margin + row * CELL + 4, margin - 14), classes[row][:4], fill="black")
        for column in range(number):
            left, top = margin + column * CELL, margin + row * CELL
            value = float(share[row, column]) ** 0.5
            shade = tuple(round(255 + (end - 255) * value) for end in (8, 48, 107))
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade)
            if counts[row, column] and number <= 40:
                ink = "white" if value > 0.5 else "black"
                draw.text((left + 3, top + 8), str(int(counts[row, column])), fill=ink)
    return np.asarray(image)


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Counts [C, C]; rows are labels, columns predictions."""
    return torch.bincount(labels * classes + predictions, minlength=classes**2).view(
        classes, classes
    )


COLUMNS = 8


SIDE = 96  # pixels of a thumbnail's longer side


LINE = 12  # pixels of a line of text


WIDTH = 15  # characters of a line


def thumbnails(images: np.ndarray, texts: list[list[str]]) -> np.ndarray:
    """Images uint8 [N, C, H, W], each with its lines of text below; [H, W, 3]."""
    scale = SIDE / max(images.shape[2:])
    width, height = (max(1, round(side * scale)) for side in images.shape[:1:-1])
    cell = SIDE + 4, height + 4 + LINE * max(len(lines) for lines in texts)
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    for i, (pixels, lines) in enumerate(zip(images, texts, strict=True)):
        left, top = i % columns * cell[0] + 2, i // columns * cell[1] + 2
        colours = pixels if len(pixels) == 3 else pixels[:1].repeat(3, 0)
        image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
        sheet.paste(image.resize((width, height), method), (left, top))
        for j, line in enumerate(lines):
            text = line[:WIDTH].encode("latin-1", "replace").decode("latin-1")  # PIL's own font
            draw.text((left, top + height + j * LINE), text, fill="black")
    return np.asarray(sheet)
