"""Mean and standard deviation of the channels of a split, from a sample of its images."""

import hashlib

import torch
from torch import Tensor

from trainer.dataset.shared.split import Images, Split

STATISTICS_SAMPLE = 2000  # images in the sample
STATISTICS_CHUNK = 50  # of them read at once
AT_ONCE = 2**20  # pixels of them in float64


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, pixels in [0, 1], from evenly spaced images."""
    last = len(split) - 1
    rows = torch.linspace(0, last, min(len(split), STATISTICS_SAMPLE)).long().clamp(max=last)
    ids = split.ids[rows]
    get_or_make = getattr(split.images, "get_or_make", None)
    if get_or_make is None:
        sums = channel_sums(split.images, ids)
    else:
        what = f"sums {hashlib.sha256(ids.numpy().tobytes()).hexdigest()}"
        shape = (2, split.images.shape[0] * 8)
        cached = get_or_make(what, shape, lambda: channel_sums(split.images, ids).view(torch.uint8))
        sums = cached.view(torch.float64)
    mean, square = sums / len(rows)
    std = (square - mean.square()).clamp(min=0).sqrt()
    return tuple(mean.tolist()), tuple(std.clamp(min=1e-3).tolist())


def channel_sums(images: Images, ids: Tensor) -> Tensor:
    """Per channel, the sums over images of its mean and of its mean square: float64 [2, C]."""
    total = torch.zeros(2, images.shape[0], dtype=torch.float64)
    for part in ids.split(STATISTICS_CHUNK):
        pixels = images.read(part.tolist())
        few = pixels.split(max(1, AT_ONCE // max(pixels[0].numel(), 1)))
        means = zip(*map(channel_means, few), strict=True)
        total += torch.stack([torch.cat(parts).sum(0) for parts in means])
    return total


def channel_means(images: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the mean square of images uint8 [n, C, H, W] in [0, 1], float64 [n, C] each."""
    pixels = images.double() / 255
    return pixels.mean((2, 3)), pixels.square_().mean((2, 3))
