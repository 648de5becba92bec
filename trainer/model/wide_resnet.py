"""Wide residual networks (Zagoruyko and Komodakis 2016, https://arxiv.org/abs/1605.07146).

Three stages of n blocks with 16k, 32k and 64k channels: depth 6n + 4, widening factor k. Batch norm
and ReLU come before each convolution, dropout between the two convolutions of a block.
"""

from torch import Tensor, nn

from trainer.core.ranges import within


class Block(nn.Module):
    """Two pre-activated 3x3 convolutions and a shortcut, a 1x1 convolution if the widths differ."""

    def __init__(self, fan_in: int, fan_out: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(fan_in)
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.shortcut = None
        if fan_in != fan_out:
            self.shortcut = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, fan_in, H, W] → [B, fan_out, ⌈H / stride⌉, ⌈W / stride⌉]."""
        active = self.relu(self.bn1(maps))
        inner = self.relu(self.bn2(self.conv1(active)))
        inner = self.conv2(self.dropout(inner))
        return inner + (maps if self.shortcut is None else self.shortcut(active))


class WideResnet(nn.Module):
    """WRN-`depth`-`widen`, such as WRN-28-10 or WRN-16-4."""

    head = "fc"

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        depth: int = 28,
        widen: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"model.depth must be 6n + 4: 10, 16, 22, 28 or 40; got {depth}")
        within("model.widen", widen, "[1, inf)")
        within("model.dropout", dropout, "[0, 1)")
        blocks, width = (depth - 4) // 6, 16 * widen
        self.conv = nn.Conv2d(shape[0], 16, 3, padding=1, bias=False)
        self.stage1 = stage(16, width, blocks, 1, dropout)
        self.stage2 = stage(width, 2 * width, blocks, 2, dropout)
        self.stage3 = stage(2 * width, 4 * width, blocks, 2, dropout)
        self.bn = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4 * width, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs]."""
        maps = self.stage3(self.stage2(self.stage1(self.conv(images))))
        return self.fc(self.relu(self.bn(maps)).mean((2, 3)))


def stage(fan_in: int, fan_out: int, blocks: int, stride: int, dropout: float) -> nn.Sequential:
    """A stage of blocks of the same width; the first one has the stride."""
    first = Block(fan_in, fan_out, stride, dropout)
    return nn.Sequential(first, *(Block(fan_out, fan_out, 1, dropout) for _ in range(blocks - 1)))
