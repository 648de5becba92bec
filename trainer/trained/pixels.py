"""Images of any source as the pixels that a finished run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.forward import centre
from trainer.dataset.shared.decode import (
    ADVICE,
    UnreadableError,
    colour,
    decode,
    open_image,
    pixels_of,
    upright,
)
from trainer.storage.trained_on import times

if TYPE_CHECKING:
    from trainer.storage.trained_on import TrainedOn


class UnreadableFileError(DataError):
    """An image file that cannot be read, and why, without advice about a data set."""


def read_pixels(image: object, trained_on: TrainedOn) -> Tensor:
    """Return the pixels uint8 [C, H, W] of a path, a PIL image or a uint8 tensor [C, H, W].

    The channels and the size are those of the run's images, the way to reach them is the same.
    Raises UnreadableFileError, TypeError or ValueError.
    """
    (channels, *cut), (height, width) = trained_on.shape, trained_on.size
    shape, behind = (channels, height, width), colour(trained_on.background)
    if isinstance(image, Tensor):
        if image.dtype != torch.uint8:
            raise TypeError(f"a tensor must be of dtype uint8, got {image.dtype}")
        if image.shape == trained_on.shape:
            return image.cpu()
        image = as_picture(image, shape)
    if isinstance(image, Image.Image):
        pixels = pixels_of(image, shape, behind, way=trained_on.fit)
        return centre(torch.from_numpy(pixels.copy()), cut)
    if not isinstance(image, (str, Path)):
        raise TypeError(
            f"an image must be a path, a PIL image or a uint8 tensor, got {image!r:.80}"
        )
    try:
        pixels = decode(image, shape, behind, way=trained_on.fit)
        return centre(torch.from_numpy(pixels.copy()), cut)
    except UnreadableError as error:
        raise UnreadableFileError(str(error).removesuffix(ADVICE)) from error


def size_of(image: object) -> tuple[int, int]:
    """Return height and width of an image as `read_pixels` takes it, upright."""
    if isinstance(image, Tensor):
        return image.shape[-2], image.shape[-1]
    if isinstance(image, Image.Image):
        turned = upright(image)
        return turned.height, turned.width
    with open_image(str(image)) as file:
        file.load()
        turned = upright(file)
        return turned.height, turned.width


def as_picture(pixels: Tensor, shape: tuple[int, int, int]) -> Image.Image:
    """Return pixels uint8 [1 or 3, H, W] as a picture. Raises ValueError for another shape."""
    if pixels.ndim != 3 or len(pixels) not in (1, 3) or shape[0] not in (1, 3):
        raise ValueError(
            f"the run was trained on images of {times(shape)} (C×H×W), the tensor has "
            f"{times(tuple(pixels.shape))}"
        )
    array = pixels.cpu().numpy()
    return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0).squeeze()))
