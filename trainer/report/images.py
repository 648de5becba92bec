"""Images for TensorBoard and the run folder, as uint8 [H, W, 3]: grids and thumbnails."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from trainer.report.confusion import confusion, confusion_matrix
from trainer.report.lettering import LINE, SIZE, draw_text, shortened

__all__ = ["confusion", "confusion_matrix", "grid", "thumbnails", "titled"]

GRID_SIDE = 96  # pixels: smaller images of a grid are enlarged to about this
GAP = 2  # pixels between the images of a grid
COLUMNS = 8  # thumbnails in a row
SIDE = 128  # pixels of a thumbnail's longer side, and of the lines below it
EDGE = 6  # pixels around a thumbnail
TITLE = 26  # pixels of a line above a sheet of thumbnails


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


def thumbnails(
    images: np.ndarray,
    captions: Sequence[Sequence[str]],
    *,
    longest: int = SIDE,
    columns: int = COLUMNS,
) -> np.ndarray:
    """Lay out images uint8 [N, C, H, W] scaled to `longest` pixels, each above its lines of text.

    Lines are shortened to `longest` pixels; the end of a file name is kept.
    """
    scale = longest / max(images.shape[2:])
    width, height = (max(1, round(side * scale)) for side in images.shape[:1:-1])
    cell = longest + 2 * EDGE, height + 2 * EDGE + LINE * max(len(lines) for lines in captions)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    canvas = Image.new("RGB", (columns * cell[0], rows * cell[1]), "white")
    draw = ImageDraw.Draw(canvas)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    for i, (pixels, lines) in enumerate(zip(images, captions, strict=True)):
        left, top = i % columns * cell[0] + EDGE, i // columns * cell[1] + EDGE
        colours = pixels if len(pixels) == 3 else pixels[:1].repeat(3, 0)
        image = Image.fromarray(np.ascontiguousarray(colours.transpose(1, 2, 0)))
        canvas.paste(image.resize((width, height), method), (left, top))
        for j, line in enumerate(lines):
            text = shortened(line, longest, keep_end="." in line[-6:])
            draw_text(draw, (left, top + height + 2 + j * LINE), text)
    return np.asarray(canvas)


def titled(sheets: Sequence[tuple[str, np.ndarray]]) -> np.ndarray:
    """Lay out sheets [H, W, 3] one below the other, each under its title."""
    least = COLUMNS // 2 * (SIDE + 2 * EDGE)  # pixels: room for the titles
    width = max(least, *(sheet.shape[1] for _, sheet in sheets))
    canvas = Image.new("RGB", (width, sum(TITLE + len(sheet) for _, sheet in sheets)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for title, sheet in sheets:
        draw_text(
            draw, (EDGE, top + 6), shortened(title, width - 2 * EDGE, SIZE + 2), size=SIZE + 2
        )
        canvas.paste(Image.fromarray(sheet), (0, top + TITLE))
        top += TITLE + len(sheet)
    return np.asarray(canvas)
