"""Pictures as uint8 arrays: grids of images and confusion matrices."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

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
