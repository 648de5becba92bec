"""Residual networks for small images (He et al. 2016, https://arxiv.org/abs/1512.03385), sec. 4.2.

A convolution, three stages of n blocks with `width`, 2 `width` and 4 `width` channels, each at half
the resolution of the previous one, global average pooling and a linear layer: 6n + 2 layers.
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.ranges import within

Shortcut = Literal["A", "B"]


class Subsample(nn.Module):
    """Shortcut option A, without parameters: subsampling, with zeros in the new channels."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra = extra
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C + extra, ⌈H / stride⌉, ⌈W / stride⌉]."""
        before = self.extra // 2
        subsampled = maps[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled, (0, 0, 0, 0, before, self.extra - before))


class Block(nn.Module):
    """A residual block: two 3x3 convolutions with batch norm, and a shortcut."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride > 1 or fan_in != fan_out:
            self.shortcut = (
                Subsample(fan_out - fan_in, stride)
                if shortcut == "A"
                else nn.Sequential(
                    nn.Conv2d(fan_in, fan_out, 1, stride, bias=False), nn.BatchNorm2d(fan_out)
                )
            )

    def forward(self, maps: Tensor) -> Tensor:
        """[B, fan_in, H, W] → [B, fan_out, ⌈H / stride⌉, ⌈W / stride⌉]."""
        inner = self.relu(self.bn1(self.conv1(maps)))
        return self.relu(self.bn2(self.conv2(inner)) + self.shortcut(maps))


class ResnetCifar(nn.Module):
    """ResNet-20, 32, 44, 56, 110, or any other depth 6n + 2, with dropout before the head."""

    head = "fc"

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        depth: int = 20,
        width: int = 16,
        shortcut: Shortcut = "A",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"model.depth must be 6n + 2: 20, 32, 44, 56 or 110; got {depth}")
        within("model.width", width, "[1, inf)")
        within("model.dropout", dropout, "[0, 1)")
        self.conv = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        blocks = (depth - 2) // 6
        self.stage1 = stage(width, width, blocks, 1, shortcut)
        self.stage2 = stage(width, 2 * width, blocks, 2, shortcut)
        self.stage3 = stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs]."""
        maps = self.relu(self.bn(self.conv(images)))
        maps = self.stage3(self.stage2(self.stage1(maps)))
        return self.fc(self.dropout(maps.mean((2, 3))))


def stage(fan_in: int, fan_out: int, blocks: int, stride: int, shortcut: Shortcut) -> nn.Sequential:
    """A stage of blocks of the same width; the first one has the stride."""
    first = Block(fan_in, fan_out, stride, shortcut)
    return nn.Sequential(first, *(Block(fan_out, fan_out, 1, shortcut) for _ in range(blocks - 1)))
