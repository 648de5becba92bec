"""U-Net (Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597), fig. 1.

As is usual today, convolutions are padded, so outputs have the size of the images, and followed by
batch norm. Any image size works: pooling keeps an odd row or column (side n becomes ⌈n / 2⌉), and
upsampled maps are cropped to the size of the skip connection.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from trainer.core.ranges import within

SMALL = 64  # images with a shorter side below this get the small network


class Double(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch norm and ReLU."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        layers: list[nn.Module] = []
        for channels in (fan_in, fan_out):
            layers += [
                nn.Conv2d(channels, fan_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(),
            ]
        super().__init__(*layers)


class Unet(nn.Module):
    """U-Net with one output map per class, or per channel of a target image.

    `depth` is the number of downsamplings, `width` the channels of the first level, doubled at each
    level below. `auto` is the published 4 and 64, or 2 and 12 for images under 64 pixels. Dropout
    is applied at the lowest level, as in the paper.
    """

    head = "last"

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        width: int | Literal["auto"] = "auto",
        depth: int | Literal["auto"] = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        small = min(shape[1:]) < SMALL
        width = (12 if small else 64) if width == "auto" else width
        depth = (2 if small else 4) if depth == "auto" else depth
        within("model.width", width, "[1, inf)")
        within("model.depth", depth, "[1, 10]")
        within("model.dropout", dropout, "[0, 1)")
        widths = [width * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(map(Double, [shape[0], *widths[:-2]], widths[:-1]))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.lowest = Double(widths[-2], widths[-1])
        self.dropout = nn.Dropout(dropout)
        pairs = list(zip(widths[::-1], widths[-2::-1], strict=False))
        self.rise = nn.ModuleList(nn.ConvTranspose2d(low, high, 2, 2) for low, high in pairs)
        self.up = nn.ModuleList(Double(2 * high, high) for _, high in pairs)
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs, H, W]."""
        maps, skipped = images, []
        for down in self.down:
            skipped.append(down(maps))
            maps = self.pool(skipped[-1])
        maps = self.dropout(self.lowest(maps))
        for rise, up, skip in zip(self.rise, self.up, reversed(skipped), strict=True):
            height, width = skip.shape[-2:]
            maps = up(torch.cat([skip, rise(maps)[..., :height, :width]], 1))
        return self.last(maps)
