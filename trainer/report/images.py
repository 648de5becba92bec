"""Images for TensorBoard and the run folder, as uint8 [H, W, 3]: grids, thumbnails, confusion."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from trainer.core.text import plain

GRID_SIDE = 96  # pixels: smaller images of a grid are enlarged to about this
GAP = 2  # pixels between the images of a grid
CELL = 28  # pixels of a cell of a confusion matrix
NUMBERED = 40  # classes up to which the cells show their counts
MATRIX = 100  # classes up to which the matrix is drawn
PAIRS = 30  # confused pairs that are listed
WIDE, NAME = 640, 44  # pixels of the list, characters of a name in it
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


def confusion(labels: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """Draw labels [N] against predictions [N]: the confusion matrix, or of many classes the pairs.

    Each cell is shaded by its share of the row. Of more than `MATRIX` classes it lists the pairs of
    label and prediction that are confused most often.
    """
    if len(classes) > MATRIX:
        return confused_pairs(labels, predictions, classes)
    counts = confusion_matrix(labels, predictions, len(classes)).numpy()
    names = [latin(name) for name in classes]
    margin = 8 + 7 * max(len(name) for name in names)
    strength = np.sqrt(counts / counts.sum(1, keepdims=True).clip(min=1))
    image = Image.fromarray(shaded(strength, margin))
    draw = ImageDraw.Draw(image)
    for i, name in enumerate(names):
        draw.text((4, margin + i * CELL + 8), name, fill="black")
        draw.text((margin + i * CELL + 4, margin - 14), name[:4], fill="black")
    for row, column in np.argwhere(counts) if len(names) <= NUMBERED else ():
        place = margin + column * CELL + 3, margin + row * CELL + 8
        ink = "white" if strength[row, column] > 0.5 else "black"
        draw.text(place, str(counts[row, column]), fill=ink)
    return np.asarray(image)


def shaded(strength: np.ndarray, margin: int) -> np.ndarray:
    """Draw the cells of a matrix [C, C] of numbers in [0, 1] beyond a white margin."""
    side = margin + len(strength) * CELL
    canvas = np.full((side, side, 3), 255, np.uint8)
    shades = np.round(255 + (np.array(DARK_BLUE) - 255) * strength[..., None]).astype(np.uint8)
    cells = shades.repeat(CELL, 0).repeat(CELL, 1)
    cells[CELL - 1 :: CELL] = cells[:, CELL - 1 :: CELL] = 255
    canvas[margin:, margin:] = cells
    return canvas


def confused_pairs(labels: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """List the `PAIRS` most frequent pairs of label and wrong prediction, with their counts."""
    wrong = labels != predictions
    pairs = torch.stack([labels[wrong], predictions[wrong]])
    distinct, counts = pairs.unique(dim=1, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:PAIRS].tolist()
    lines = [f"{int(wrong.sum()):,} of {len(labels):,} wrong; most often, label > prediction:"]
    for i in order:
        label, prediction = (latin(classes[int(c)])[:NAME] for c in distinct[:, i])
        lines.append(f"{int(counts[i]):>6,}  {label} > {prediction}")
    canvas = Image.new("RGB", (WIDE, 8 + LINE * (1 + PAIRS)), "white")
    draw = ImageDraw.Draw(canvas)
    for i, line in enumerate(lines):
        draw.text((4, 4 + i * LINE), line, fill="black")
    return np.asarray(canvas)


def latin(text: str) -> str:
    """Return a text with question marks for the characters that PIL's own font lacks."""
    return plain(text).encode("latin-1", "replace").decode("latin-1")


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
            draw.text((left, top + height + j * LINE), latin(line)[:WIDTH], fill="black")
    return np.asarray(canvas)
