"""The contract of an initialisation, and the layers that it applies to."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor, nn

LAYERS = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
Layer = nn.Linear | nn.modules.conv._ConvNd


class Init(ABC):
    """Fills the weight of each linear and convolution layer, and its bias with `bias`.

    Normalisation layers keep torch's defaults. Fans are counted as in torch: the fan-in of a
    transposed convolution is that of the convolution whose gradient it computes.
    """

    batch = 0  # training images for `calibrate`; 0: do not call it

    def __init__(self, *, bias: float = 0.0) -> None:
        self.bias = bias

    @abstractmethod
    def fill(self, weight: Tensor) -> None:
        """Overwrite a weight [out, in, ...] in place."""

    @torch.no_grad()
    def __call__(self, model: nn.Module, only: set[str] | None = None) -> None:
        """Initialise every layer, or those inside the modules named by `only`."""
        for layer in layers(model, only):
            self.fill(layer.weight)
            if layer.bias is not None:
                layer.bias.fill_(self.bias)

    def calibrate(self, model: nn.Module, images: Tensor, only: set[str] | None = None) -> None:
        """Adjust the weights to standardised training images [B, C, H, W]; a no-op by default."""


def layers(model: nn.Module, only: set[str] | None = None) -> Iterator[Layer]:
    """The linear and convolution layers of a model, or those inside the modules named by `only`."""
    for name, layer in model.named_modules():
        parts = name.split(".")
        above = {".".join(parts[: i + 1]) for i in range(len(parts))}
        if isinstance(layer, LAYERS) and (only is None or above.intersection(only)):
            yield layer
