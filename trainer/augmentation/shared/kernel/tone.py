"""Batched kernels that change tones; `posterize`, `solarize` and `equalize` work on 8-bit values.

Equal, image by image, to torchvision.transforms.v2.functional: the first three, on images whose
pixels are multiples of 1/255, to that of the uint8 image; the rest to that of the float image.
Other pixels are rounded to the nearest 8-bit value first where the operation needs one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.augmentation.shared.kernel.colour import blend


def levels(images: Tensor) -> Tensor:
    """The nearest whole numbers from 0 to 255."""
    return (images * 255).round_().clamp_(0, 255)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest `bits` [B] of 8."""
    step = (2 ** (8 - bits)).view(-1, 1, 1, 1)
    values = levels(images)
    return values.sub_(values.remainder(step)).div_(255)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert the pixels of at least `threshold` [B], from 0 to 255."""
    return torch.where(levels(images) >= threshold.view(-1, 1, 1, 1), 1 - images, images)


def invert(images: Tensor) -> Tensor:
    """Black for white."""
    return 1 - images


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of each image to [0, 1], unless it has one value alone."""
    low = images.amin((2, 3), keepdim=True)
    spread = images.amax((2, 3), keepdim=True) - low
    return torch.where(spread > 0, (images - low) / spread, images).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Spread the values of each channel evenly over the 256 levels.

    As in PIL: the step is the number of pixels that do not have the largest value, by 255, rounded
    down; a channel whose step is 0 stays as it is.
    """
    values = levels(images).long().flatten(2)  # [B, C, H·W]
    counts = values.new_zeros(*values.shape[:2], 256)
    counts.scatter_add_(2, values, torch.ones_like(values))
    highest = values.amax(2, keepdim=True)
    step = (values.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    spread = (table.gather(2, values) / 255).view(images.shape)
    return torch.where(step[..., None] > 0, spread, images)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is blurred by a 3 × 3 kernel with 5 in the middle of ones, 1 no change; [B] factors."""
    height, width = images.shape[-2:]
    if min(height, width) < 3:
        return images
    smooth = images.clone()  # the border stays
    middle = smooth[..., 1 : height - 1, 1 : width - 1]
    middle.mul_(4).add_(F.avg_pool2d(images, 3, stride=1), alpha=9).div_(13)
    return blend(images, smooth, factor)
