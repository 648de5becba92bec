"""Batched colour kernels with one factor per image.

Each image gets the result of torchvision.transforms.v2.functional on float images in [0, 1]. Images
have three channels (RGB) or one (grey), which `saturation` and `hue` leave unchanged.
"""

import torch
from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue in grey


def grey(images: Tensor) -> Tensor:
    """Luma of images, [B, C, H, W] → [B, 1, H, W]."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def blend(images: Tensor, others: Tensor | float, factor: Tensor) -> Tensor:
    """Blend `factor` [B] of images [B, C, H, W] with 1 − `factor` of others, clipped to [0, 1]."""
    factor = factor.view(-1, 1, 1, 1)
    return (images * factor).add_((1 - factor) * others).clamp_(0, 1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Scale brightness of [B, C, H, W] by factor [B]: 0 is black, 1 unchanged, 2 twice."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale contrast of [B, C, H, W] by factor [B]: 0 is the image's mean grey, 1 unchanged."""
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale saturation of [B, C, H, W] by factor [B]: 0 is grey, 1 unchanged."""
    return images if images.shape[1] == 1 else blend(images, grey(images), factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of [B, C, H, W] by `turn` [B], from −0.5 to 0.5 of the colour circle.

    In sixths of the circle, red is at 0, green at 2 and blue at 4. A channel at distance d from the
    hue has the value min + (max − min)·clip(2 − d, 0, 1), with min and max over the channels.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    chroma = high - low
    hues = torch.where(high == green, (blue - red).add_(chroma, alpha=2), red - green + 4 * chroma)
    hues = torch.where(high == red, green - blue, hues).div_(chroma.clamp(min=1e-20))
    hues = (hues + 6 * turn.view(-1, 1, 1, 1)).remainder_(6)
    away = torch.cat([hues, hues - 2, hues - 4], dim=1).abs_()
    part = away.sub_(3).abs_().sub_(1).clamp_(0, 1)  # 3 − |away − 3| is the shorter way round
    return part.mul_(chroma).add_(low)
