"""Batched tone kernels on images [B, C, H, W] in [0, 1].

Each image gets the result of torchvision.transforms.v2.functional. `posterize`, `solarize` and
`equalize` match it on uint8 images: other pixel values are rounded to 8 bits first. The rest match
it on float images.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.augmentation.shared.kernel.colour import blend


def levels(images: Tensor) -> Tensor:
    """The nearest 8-bit levels of images [B, C, H, W] in [0, 1], as floats from 0 to 255."""
    return (images * 255).round_().clamp_(0, 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the most significant `bits` [B] of the 8 of each pixel of [B, C, H, W]."""
    step = (2 ** (8 - bits)).view(-1, 1, 1, 1)
    values = levels(images)
    return values.sub_(values.remainder(step)).div_(255)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels whose level is at least `threshold` [B], 0 to 255."""
    return torch.where(levels(images) >= threshold.view(-1, 1, 1, 1), 1 - images, images)


def invert(images: Tensor) -> Tensor:
    """The negative, 1 − images, of [B, C, H, W]."""
    return 1 - images


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of each image to [0, 1], unless it is constant."""
    low = images.amin((2, 3), keepdim=True)
    width = images.amax((2, 3), keepdim=True) - low
    return torch.where(width > 0, (images - low) / width, images).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Equalise the histogram of each channel over 256 levels.

    As in PIL, the step is the number of pixels below the largest value, divided by 255 and rounded
    down; a channel with step 0 is unchanged.
    """
    values = levels(images).long().flatten(2)  # [B, C, H·W]
    counts = values.new_zeros(*values.shape[:2], 256)
    counts.scatter_add_(2, values, torch.ones_like(values))
    highest = values.amax(2, keepdim=True)
    step = (values.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    equalized = (table.gather(2, values) / 255).view(images.shape)
    return torch.where(step[..., None] > 0, equalized, images)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Sharpen [B, C, H, W] by factor [B]: 1 is unchanged, 0 a blur.

    The 3 × 3 kernel of the blur has weight 5 at its centre and 1 elsewhere, over 13.
    """
    height, width = images.shape[-2:]
    if min(height, width) < 3:
        return images
    smooth = images.clone()  # the border is unchanged
    middle = smooth[..., 1 : height - 1, 1 : width - 1]
    middle.mul_(4).add_(F.avg_pool2d(images, 3, stride=1), alpha=9).div_(13)
    return blend(images, smooth, factor)
