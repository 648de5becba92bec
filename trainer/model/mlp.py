"""A multi-layer perceptron over flattened pixels."""

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from trainer.core.ranges import within


class Mlp(nn.Module):
    """Linear layers with ReLU between them; `hidden` lists the hidden widths, default [64]."""

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        outputs: int,
        hidden: list[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = [64] if hidden is None else list(hidden)
        within("model.hidden", hidden, "[1, inf)")
        within("model.dropout", dropout, "[0, 1)")
        layers: list[nn.Module] = [nn.Flatten()]
        for fan_in, fan_out in pairwise([prod(shape), *hidden]):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(hidden[-1] if hidden else prod(shape), outputs))
        self.layers = nn.Sequential(*layers)
        self.head = f"layers.{len(layers) - 1}"

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs]."""
        return self.layers(images)
