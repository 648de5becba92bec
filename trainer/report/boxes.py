"""Boxes drawn on images, and objects cut out of them; uint8."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from trainer.report.lettering import LINE, draw_text, shortened, text_width

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]

SIDE = 256  # pixels of the longer side of an image with boxes
COLUMNS = 4  # of them in a row
CUT = 96  # pixels of a side of an object that is cut out
MARGIN = 0.25  # of an object's sides, that is shown around it
TRUE, RIGHT, WRONG, CROWD = (60, 200, 60), (70, 150, 255), (255, 70, 60), (150, 150, 150)


@dataclass(frozen=True)
class Outline:
    """A box to draw, x0, y0, x1, y1 in pixels of the image, with a word at its corner."""

    edges: Sequence[float]
    colour: Colour
    text: str = ""
    below: bool = False  # the word is below the box, not above it


def true_outlines(boxes: list[list[float]], classes: Sequence[str]) -> list[Outline]:
    """The boxes of a label [N, 5]; crowds are grey."""
    return [
        Outline(edges, TRUE if kind > 0 else CROWD, classes[int(abs(kind)) - 1])
        for kind, *edges in boxes
        if kind
    ]


def outlined(pixels: np.ndarray, outlines: Sequence[Outline], side: int = SIDE) -> np.ndarray:
    """An image uint8 [C, H, W] scaled to a longer side of `side` pixels, with boxes: [3, h, w]."""
    channels, height, width = pixels.shape
    scale = side / max(height, width)
    rgb = pixels if channels == 3 else pixels[:1].repeat(3, 0)
    image = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), method)
    draw = ImageDraw.Draw(image)
    for outline in outlines:
        x0, y0, x1, y1 = (scale * edge for edge in outline.edges)
        corners = (x0, y0, max(x0, x1 - 1), max(y0, y1 - 1))
        draw.rectangle(corners, outline=outline.colour, width=2)
        if outline.text:
            label(draw, image.size, corners, outline)
    return np.asarray(image).transpose(2, 0, 1)


def label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    corners: tuple[float, float, float, float],
    outline: Outline,
) -> None:
    """Write a box's word above or below it, within an image of width and height `size`."""
    text = shortened(outline.text, size[0] - 2)
    width = text_width(text)
    left = min(max(corners[0], 0), max(size[0] - width, 0))
    top = corners[3] + 1 if outline.below else corners[1] - LINE
    top = min(max(top, 0), max(size[1] - LINE, 0))
    draw.rectangle((left, top, left + width, top + LINE - 1), fill=outline.colour)
    draw_text(draw, (left, top), text)


def cut_out(pixels: np.ndarray, edges: Sequence[float], side: int = CUT) -> np.ndarray:
    """A square around a box of an image uint8 [C, H, W], scaled to `side`: uint8 [3, side, side].

    What lies outside the image is grey.
    """
    channels, _, _ = pixels.shape
    rgb = pixels if channels == 3 else pixels[:1].repeat(3, 0)
    image = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    x0, y0, x1, y1 = edges
    half = max(x1 - x0, y1 - y0, 1.0) * (0.5 + MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    place = (round(x - half), round(y - half), round(x + half), round(y + half))
    canvas = Image.new("RGB", (place[2] - place[0], place[3] - place[1]), CROWD)
    canvas.paste(image, (-place[0], -place[1]))
    return np.asarray(canvas.resize((side, side), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
