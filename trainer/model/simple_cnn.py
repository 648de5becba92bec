"""Two convolutions and two linear layers, as in many introductory tutorials."""

from typing import Literal

from torch import Tensor, nn

from trainer.core.ranges import within


class SimpleCnn(nn.Module):
    """conv 3x3 to 32, pool, conv 3x3 to 64, pool, flatten, linear to 128, linear to the outputs.

    Both convolutions have `padding` 0, 1 or `auto`: 0, or 1 where the feature map would vanish
    (images under 10 pixels). 28x28 images flatten to 64 * 5 * 5 = 1600.
    """

    head = "fc2"

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        padding: int | Literal["auto"] = "auto",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if padding not in (0, 1, "auto"):
            raise ValueError(f"model.padding must be 0, 1 or auto, got {padding}")
        within("model.dropout", dropout, "[0, 1)")
        channels, height, width = shape
        pad = int(pooled(min(height, width), 0) < 1) if padding == "auto" else padding
        features = 64 * pooled(height, pad) * pooled(width, pad)
        if features < 1:
            raise ValueError(
                f"model.padding={padding} leaves nothing of {height}x{width} images; "
                "use larger images or another model"
            )
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=pad)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=pad)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(features, 128)
        self.fc2 = nn.Linear(128, outputs)

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs]."""
        maps = self.pool(self.relu(self.conv1(images)))
        maps = self.pool(self.relu(self.conv2(maps)))
        hidden = self.relu(self.fc1(self.dropout(maps.flatten(1))))
        return self.fc2(self.dropout(hidden))


def pooled(side: int, padding: int) -> int:
    """The feature map's side after both convolutions and both pools, for an image's side."""
    for _ in range(2):
        side = max(side - 2 + 2 * padding, 0) // 2
    return side
