"""What an initialisation scheme does."""

from abc import ABC, abstractmethod

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


class Init(ABC):
    """Fills the weight of each linear and convolution layer; biases become zero.

    Normalisation layers keep the library's own values.
    """

    @abstractmethod
    def fill(self, weight: Tensor) -> None:
        """Overwrite a weight [out, in, ...] in place."""

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        """Initialise every layer, in the order of `model.modules()`."""
        for layer in model.modules():
            if isinstance(layer, LAYERS):
                self.fill(layer.weight)
                if layer.bias is not None:
                    layer.bias.zero_()
