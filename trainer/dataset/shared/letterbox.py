"""Where an image lies in one of another size: cut to cover it, or whole with bars beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

MAX_PIXELS = 2**27  # of an image, as its header has it and when scaled: 1.2 GB of memory at most
BLACK = (0, 0, 0)

Colour = tuple[int, int, int]  # RGB
Fit = Literal["cover", "pad"]


@dataclass(frozen=True)
class Placement:
    """Height and width of the scaled image, and its place in the result, in pixels."""

    height: int
    width: int
    top: int  # negative where it is cut off
    left: int


def placement(size: tuple[int, int], target: tuple[int, int], fit: Fit) -> Placement:
    """Place an image of height and width `size` in the middle of a `target`.

    `cover` scales it until it covers the target, `pad` until it fits into it. Raises ValueError if
    an extreme aspect ratio would make it too large.
    """
    ratios = target[0] / size[0], target[1] / size[1]
    if fit == "pad":
        scale, least, most = min(ratios), (1, 1), target
    else:
        scale, least, most = max(ratios), target, (MAX_PIXELS, MAX_PIXELS)
    height, width = (
        min(max(low, round(side * scale)), high)
        for side, low, high in zip(size, least, most, strict=True)
    )
    if height * width > MAX_PIXELS:
        of, to = f"{size[1]}x{size[0]}", f"{target[1]}x{target[0]}"
        raise ValueError(f"{of} pixels are too elongated to cover {to}")
    offset = [
        (full - side) // 2 if fit == "pad" else -((side - full) // 2)
        for full, side in zip(target, (height, width), strict=True)
    ]
    return Placement(height, width, offset[0], offset[1])


def letterbox(
    image: Image.Image, height: int, width: int, background: Colour = BLACK
) -> Image.Image:
    """Scale an image, L or RGB, to fit into height x width; beside it lies the background."""
    if (image.height, image.width) == (height, width):
        return image
    at = placement((image.height, image.width), (height, width), "pad")
    scaled = image.resize((at.width, at.height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    canvas = Image.new("RGB", (width, height), background).convert(image.mode)
    canvas.paste(scaled, (at.left, at.top))
    return canvas


def in_files(boxes: np.ndarray, sizes: np.ndarray, target: Sequence[int], way: Fit) -> np.ndarray:
    """Boxes [N, K, 4] in pixels of images of height and width `target` as those of the files.

    `sizes` [N, 2] are the heights and widths of the files, brought to the target by a `way`.
    """
    out = np.empty(boxes.shape, np.float64)
    for n, (height, width) in enumerate(sizes.tolist()):
        at = placement((height, width), (target[0], target[1]), way)
        start, unit = [at.left, at.top] * 2, [width / at.width, height / at.height] * 2
        out[n] = ((boxes[n] - start) * unit).clip(0, [width, height] * 2)
    return out
