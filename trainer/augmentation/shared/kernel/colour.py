"""Batched kernels that change colours, each image by a factor of its own.

Equal, image by image, to torchvision.transforms.v2.functional on float images in [0, 1]. An image
has three channels (RGB) or one (grey), which `saturation` and `hue` leave as it is.
"""

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue in grey


def grey(images: Tensor) -> Tensor:
    """[B, C, H, W] to [B, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def blend(images: Tensor, others: Tensor | float, factor: Tensor) -> Tensor:
    """`factor` [B] of the images and the rest, which may be negative, of the others."""
    factor = factor.view(-1, 1, 1, 1)
    return (images * factor).add_((1 - factor) * others).clamp_(0, 1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is black, 1 no change, 2 twice as bright."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """0 is the mean grey, 1 no change."""
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """0 is grey, 1 no change."""
    return images if images.shape[1] == 1 else blend(images, grey(images), factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by `turn` [B] of the colour circle, −0.5 to 0.5.

    In sixths of the circle, red lies at 0, green at 2 and blue at 4. Where the hue is d away from a
    channel, the channel is min + (max − min)·clip(2 − d, 0, 1) of all three.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    spread = high - low
    place = torch.where(high == green, (blue - red).add_(spread, alpha=2), red - green + 4 * spread)
    place = torch.where(high == red, green - blue, place).div_(spread.clamp(min=1e-20))
    place = (place + 6 * turn.view(-1, 1, 1, 1)).remainder_(6)
    away = torch.cat([place, place - 2, place - 4], dim=1).abs_()
    part = away.sub_(3).abs_().sub_(1).clamp_(0, 1)  # 3 − |away − 3| is the shorter way round
    return part.mul_(spread).add_(low)
