"""Boxes of random area and aspect ratio, drawn as in torchvision: the first of ten that fits."""

from math import log

from torch import Tensor

from trainer.core.seed import ExampleRandom

TRIES = 10


def sides(
    draws: ExampleRandom, area: int | Tensor, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Draw two sides int64 [B, TRIES]: first / second within `ratio`, area within scale · area.

    `area` is that of all images, or those of each [B, 1].
    """
    fractions, ratios = draws.uniforms(2 * TRIES).split(TRIES, dim=1)
    areas = area * (scale[0] + (scale[1] - scale[0]) * fractions)
    ratios = (log(ratio[0]) + (log(ratio[1]) - log(ratio[0])) * ratios).exp()
    return (areas * ratios).sqrt().round().long(), (areas / ratios).sqrt().round().long()


def first(fits: Tensor, *values: Tensor) -> list[Tensor]:
    """Values [B] of the first try that fits, from values [B, TRIES]; of try 0 if none does."""
    chosen = fits.int().argmax(1, keepdim=True)
    return [value.gather(1, chosen).squeeze(1) for value in values]


def random_offset(draws: ExampleRandom, room: Tensor) -> Tensor:
    """Random integers [B], uniform on 0, ..., room [B]."""
    return (draws.uniform() * (room + 1)).long()


def column(side: int | Tensor) -> int | Tensor:
    """A side of all images, or those of each [B], to go with values [B, TRIES]."""
    return side if isinstance(side, int) else side[:, None]


def central(size: tuple[int, int], ratio: tuple[float, float]) -> tuple[int, int]:
    """Height and width of the largest central box whose aspect ratio is within `ratio`."""
    height, width = size
    if width / height < ratio[0]:
        return round(width / ratio[0]), width
    if width / height > ratio[1]:
        return height, round(height * ratio[1])
    return size
