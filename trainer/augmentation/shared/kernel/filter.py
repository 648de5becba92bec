"""Batched kernels that blend neighbours, each image by a strength of its own."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_blur(images: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Blur [B, C, H, W] by a kernel of `size` (odd) pixels and deviation `sigma` [B] in pixels.

    As torchvision's: the border is mirrored, and the kernel is taken at ±(size − 1)/2 divided by √2
    in the exponent exp(−x²/σ²).
    """
    half = size // 2
    x = torch.arange(-half, half + 1, device=images.device) / 2**0.5
    weights = (-(x / sigma[:, None]).square()).softmax(1)  # [B, size]
    weights = weights[:, :, None, None, None].unbind(1)
    padded = F.pad(images, [half] * 4, mode="reflect")
    for axis, length in ((2, images.shape[2]), (3, images.shape[3])):
        parts = [padded.narrow(axis, start, length) for start in range(size)]
        padded = parts[0] * weights[0]
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            padded.addcmul_(part, weight)
    return padded
