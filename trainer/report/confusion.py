"""The confusion matrix as a picture, uint8 [H, W, 3]; of very many classes, the confused pairs."""

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from trainer.report.lettering import LINE, SIZE, draw_text, shortened, text_width, upwards

CELLS = ((6, 64), (12, 48), (24, 36), (40, 28), (100, 22))  # up to so many classes, pixels of each
MATRIX = CELLS[-1][0]  # classes up to which the matrix is drawn
PAIRS = 30  # confused pairs that are listed
WIDE = 640  # pixels of the list
NAME = 160  # pixels of a class name
SMALL = 9  # pixels of the smallest digits
PAD = 8  # pixels around the names
DARK_BLUE = (8, 48, 107)  # RGB of a cell that has its whole row
ROWS, COLUMNS = "label ↓", "prediction →"


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count [C, C] pairs of labels [N] (rows) and predictions [N] (columns)."""
    pairs = labels * classes + predictions
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def confusion(labels: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """Draw labels [N] against predictions [N]: the confusion matrix, or of many classes the pairs.

    Each cell has its count and is shaded by its share of the row. Of more than `MATRIX` classes the
    pairs of label and prediction that are confused most often are listed.
    """
    if len(classes) > MATRIX:
        return confused_pairs(labels, predictions, classes)
    counts = confusion_matrix(labels, predictions, len(classes)).numpy()
    cell = next(side for most, side in CELLS if len(classes) <= most)
    names = [shortened(name, NAME) for name in classes]
    widest = max(map(text_width, names))
    turned = widest > cell - 4  # column names are read upwards
    left = 2 * PAD + max(widest, text_width(ROWS))
    top = 2 * PAD + LINE + (widest if turned else LINE)
    strength = np.sqrt(counts / counts.sum(1, keepdims=True).clip(min=1))
    image = shaded(strength, cell, left, top)
    canvas = ImageDraw.Draw(image)
    draw_text(canvas, (left, PAD / 2), COLUMNS, fill="dimgray")
    draw_text(canvas, (PAD, top - LINE - 2), ROWS, fill="dimgray")
    for i, name in enumerate(names):
        at = i * cell + (cell - SIZE) // 2 - 1
        draw_text(canvas, (left - PAD - text_width(name), top + at), name)
        if turned:
            picture = upwards(name)
            image.paste(picture, (left + at, top - 4 - picture.height))
        else:
            centre = (cell - text_width(name)) // 2
            draw_text(canvas, (left + i * cell + centre, top - LINE - 4), name)
    draw_counts(canvas, counts, strength, cell, (left, top))
    return np.asarray(image)


def shaded(strength: np.ndarray, cell: int, left: int, top: int) -> Image.Image:
    """Draw the cells of a matrix [C, C] of numbers in [0, 1] to the right of and below a margin."""
    side = len(strength) * cell
    canvas = np.full((top + side + PAD, left + side + PAD, 3), 255, np.uint8)
    shades = np.round(255 + (np.array(DARK_BLUE) - 255) * strength[..., None]).astype(np.uint8)
    cells = shades.repeat(cell, 0).repeat(cell, 1)
    cells[cell - 1 :: cell] = cells[:, cell - 1 :: cell] = 225
    canvas[top : top + side, left : left + side] = cells
    return Image.fromarray(canvas)


def draw_counts(
    canvas: ImageDraw.ImageDraw,
    counts: np.ndarray,
    strength: np.ndarray,
    cell: int,
    corner: tuple[int, int],
) -> None:
    """Write the counts [C, C] that are not 0 into their cells, all in one size if they fit."""
    sizes = range(min(16, cell // 2), SMALL - 1, -1)
    largest = str(counts.max())
    size = next((s for s in sizes if text_width(largest, s) <= cell - 3), SMALL)
    for row, column in np.argwhere(counts):
        text = short_count(int(counts[row, column]), cell - 2, size)
        left = corner[0] + column * cell + (cell - 1 - text_width(text, size)) // 2
        top = corner[1] + row * cell + (cell - size) // 2 - 1
        ink = "white" if strength[row, column] > 0.5 else "black"
        draw_text(canvas, (left, top), text, size=size, fill=ink)


def short_count(count: int, width: int, size: int) -> str:
    """A count as text; `12k`, `3M` or `1e8` where all digits do not fit."""
    texts = [str(count), f"{count / 1e3:.0f}k", f"{count / 1e6:.0f}M", f"{count:.0e}"]
    texts[-1] = texts[-1].replace("e+0", "e").replace("e+", "e")
    return next((text for text in texts if text_width(text, size) <= width), texts[-1])


def confused_pairs(labels: Tensor, predictions: Tensor, classes: tuple[str, ...]) -> np.ndarray:
    """List the `PAIRS` most frequent pairs of label and wrong prediction, with their counts."""
    wrong = labels != predictions
    pairs = torch.stack([labels[wrong], predictions[wrong]])
    distinct, counts = pairs.unique(dim=1, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:PAIRS].tolist()
    image = Image.new("RGB", (WIDE, 2 * PAD + LINE * (2 + PAIRS)), "white")
    canvas = ImageDraw.Draw(image)
    title = f"{int(wrong.sum()):,} of {len(labels):,} wrong; most often, label → prediction:"
    draw_text(canvas, (PAD, PAD), title)
    for line, i in enumerate(order, 2):
        top, count = PAD + line * LINE, f"{int(counts[i]):,}"
        label, prediction = (shortened(classes[int(c)], 260) for c in distinct[:, i])
        draw_text(canvas, (PAD + 50 - text_width(count), top), count)
        draw_text(canvas, (PAD + 65, top), f"{label} → {prediction}")
    return np.asarray(image)
