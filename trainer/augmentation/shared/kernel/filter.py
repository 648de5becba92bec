"""Batched smoothing kernels with one strength per image."""

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_blur(images: Tensor, sigma: Tensor, size: int) -> Tensor:
    """Blur images [B, C, H, W] with a kernel of odd `size` and standard deviation `sigma` [B].

    Both are in pixels. As in torchvision, the border is mirrored; the weights are exp(−x²/(2σ²)) at
    the pixels x from −(size − 1)/2 to (size − 1)/2.
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
