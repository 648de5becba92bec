"""Networks of torchvision and timm, adapted to the data: channels, head, weights, image size."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.forward import evaluating
from trainer.core.ranges import within
from trainer.model.shared.pretrained import adapt, first_convolution, load_backbone

SIDES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512)  # sizes to resize to
REFUSALS = (RuntimeError, AssertionError, ValueError)  # raised by networks for a wrong image size

Pretrained = bool | str
Size = int | Literal["auto"]


class Library(nn.Module):
    """A library's network and the name of its head; resizes images the network cannot take.

    Images are resized to `size` x `size`. `auto` leaves them alone if the network accepts them and
    otherwise takes the smallest of `SIDES` that it accepts. Raises ValueError if it accepts none.
    """

    def __init__(
        self,
        network: nn.Module,
        head: str,
        *,
        name: str,
        shape: tuple[int, int, int],
        size: Size = "auto",
    ) -> None:
        super().__init__()
        self.network = network
        self.head = f"network.{head}"
        if isinstance(size, int):
            within("model.size", size, "[1, inf)")
        sides = (None, *SIDES) if size == "auto" else (size,)
        self.side = next((side for side in sides if self.accepts(shape, side)), 0)
        if self.side == 0:
            image = f"images of {shape[0]}x{shape[1]}x{shape[2]}"
            raise ValueError(f"model.name={name} does not accept {image} with model.size={size}")

    @torch.no_grad()
    def accepts(self, shape: tuple[int, int, int], side: int | None) -> bool:
        """Whether the network runs on images of shape [C, H, W], resized to `side` unless None."""
        self.side = side
        try:
            with evaluating(self.network):
                self(torch.zeros(1, *shape))
        except REFUSALS:
            return False
        return True

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs]; for segmentation, [B, outputs, H, W]."""
        resized = images
        if self.side is not None:
            resized = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        outputs = self.network(resized)
        if isinstance(outputs, dict):  # torchvision's segmentation networks
            outputs = outputs["out"]
            if outputs.shape[-2:] != images.shape[-2:]:
                outputs = F.interpolate(outputs, images.shape[-2:], mode="bilinear")
        return outputs


def check_arguments(arguments: Mapping[str, Any], *refused: str) -> None:
    """Raise ValueError if one of the `refused` arguments, which load weights, is given."""
    for name in refused:
        if name in arguments:
            raise ValueError(f"model.arguments.{name} is not allowed; use model.pretrained=FILE")


def set_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution if it does not take images with that many channels."""
    first = first_convolution(network)
    if first is None or first[1].in_channels == channels:
        return
    name, old = first
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # pyright: ignore
        old.stride,  # pyright: ignore
        old.padding,  # pyright: ignore
        old.dilation,  # pyright: ignore
        bias=old.bias is not None,
    )
    network.set_submodule(name, new)


def load(network: nn.Module, state: dict[str, Tensor], head: str, origin: str) -> None:
    """Load a state dict of the same network, whatever its input channels and its head.

    `origin` is the setting that names it. Raises CheckpointError if it does not fit.
    """
    first = first_convolution(network)
    if first is not None and f"{first[0]}.weight" in state:
        name = f"{first[0]}.weight"
        state[name] = adapt(state[name], first[1].in_channels)
    load_backbone(network, state, head, origin)


def no_weights(name: str, url: str, reason: object) -> ValueError:
    """The error to raise for weights that are neither cached nor downloadable."""
    cause = (str(reason).splitlines() or [type(reason).__name__])[0]
    return ValueError(
        f"model.pretrained=true: the weights of {name} are not cached and cannot be "
        f"downloaded from {url} ({cause}); give model.pretrained=FILE or model.pretrained=false"
    )
