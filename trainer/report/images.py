"""Images for TensorBoard and the run folder, as uint8 [H, W, 3]: grids, thumbnails, confusion."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

GRID_SIDE = 96  # pixels: smaller images of a grid are enlarged to about this
GAP = 2  # pixels between the images of a grid
CELL = 28  # pixels of a cell of a confusion matrix
NUMBERED = 40  # classes up to which the cells show their counts
DARK_BLUE = (8, 48, 107)  # RGB of a cell that has its whole row
COLUMNS = 8  # thumbnails in a row
SIDE = 96  # pixels of a thumbnail's longer side
LINE = 12  # pixels of a line of text
WIDTH = 15  # characters of a line of text


def grid(images: Tensor, columns: int = COLUMNS) -> np.ndarray:
    """Lay out images [N, C, H, W] in [0, 1] side by side, scaled up by a whole factor if small.

    Of three or more channels the first three are shown as RGB, otherwise the first one in grey.
    """
    pixels = images.detach().cpu().clamp(0, 1).mul(255).byte()
    pixels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    number, _, height, width = pixels.shape
    scale = max(1, GRID_SIDE // max(height, width))
    pixels = pixels.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    height, width = height * scale + GAP, width * scale + GAP
    rows = -(-number // columns)
    canvas = np.zeros((rows * height, columns * width, 3), np.uint8)
    for i, image in enumerate(pixels.numpy()):
        top, left = i // columns * height, i % columns * width
        canvas[top : top + height - GAP, left : left + width - GAP] = image.transpose(1, 2, 0)
    return canvas


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count [C, C] pairs of labels [N] (rows) and predictions [N] (columns)."""
    pairs = labels * classes + predictions
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def confusion(matrix: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """Draw a confusion matrix [C, C] of counts, each cell shaded by its share of the row."""
    counts = matrix.numpy()
    shares = counts / counts.sum(1, keepdims=True).clip(min=1)
    number = len(classes)
    margin = 8 + 7 * max(len(name) for name in classes)
    image = Image.new("RGB", (margin + number * CELL, margin + number * CELL), "white")
    draw = ImageDraw.Draw(image)
    for row, name in enumerate(classes):
        draw.text((4, margin + row * CELL + 8), name, fill="black")
        draw.text((margin + row * CELL + 4, margin - 14), name[:4], fill="black")
        for column in range(number):
            corner = (margin + column * CELL, margin + row * CELL)
            count = int(counts[row, column]) if number <= NUMBERED else 0
            draw_cell(draw, corner, float(shares[row, column]), count)
    return np.asarray(image)


def draw_cell(draw: ImageDraw.ImageDraw, corner: tuple[int, int], share: float, count: int) -> None:
    """Draw a cell with its upper left at `corner`; a count of 0 is not written."""
    left, top = corner
    strength = share**0.5
    shade = tuple(round(255 + (end - 255) * strength) for end in DARK_BLUE)
    draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade)
    if count:
        draw.text((left + 3, top + 8), str(count), fill="white" if strength > 0.5 else "black")


def thumbnails(images: np.ndarray, captions: list[list[str]]) -> np.ndarray:
    """Lay out images uint8 [N, C, H, W] scaled to `SIDE` pixels, each above its lines of text.

    Lines are cut to `WIDTH` characters; those that PIL's own font lacks become question marks.
    """
    scale = SIDE / max(images.shape[2:])
    width, height = (max(1, round(side * scale)) for side in images.shape[:1:-1])
    cell = SIDE + 4, height + 4 + LINE * max(len(lines) for lines in captions)
    columns = min(COLUMNS, len(images))
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(canvas)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    for i, (pixels, lines) in enumerate(zip(images, captions, strict=True)):
        left, top = i % columns * cell[0] + 2, i // columns * cell[1] + 2
        colours = pixels if len(pixels) == 3 else pixels[:1].repeat(3, 0)
        image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
        canvas.paste(image.resize((width, height), method), (left, top))
        for j, line in enumerate(lines):
            text = line[:WIDTH].encode("latin-1", "replace").decode("latin-1")
            draw.text((left, top + height + j * LINE), text, fill="black")
    return np.asarray(canvas)
