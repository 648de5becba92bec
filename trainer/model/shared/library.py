"""A network of a library: its channels, its head and its weights fitted to the data."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.ranges import within
from trainer.model.shared.pretrained import adapt, first_convolution, load_backbone

SIDES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 320, 384, 448, 512)  # to resize to
REFUSALS = (RuntimeError, AssertionError, ValueError)  # of a network, for a size of image

Pretrained = bool | str
Size = int | Literal["auto"]


class Library(nn.Module):
    """A network with its head named, on images resized where it cannot take them as they are.

    `size` is the side that images are resized to; `auto` leaves them alone where the network takes
    them, otherwise it is the smallest of 32, 64, ... 512 that the network takes.
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
        self.side = next((side for side in sides if self.takes(shape, side)), 0)
        if self.side == 0:
            image = f"images of {shape[0]}x{shape[1]}x{shape[2]}"
            raise ValueError(f"model.name={name} does not take {image} with model.size={size}")

    @torch.no_grad()
    def takes(self, shape: tuple[int, int, int], side: int | None) -> bool:
        """Whether a forward pass goes through with images of a shape resized to a side."""
        self.side = side
        self.network.eval()
        try:
            self(torch.zeros(1, *shape))
        except REFUSALS:
            return False
        finally:
            self.network.train()
        return True

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, outputs], of a network for segmentation [B, outputs, H, W]."""
        resized = images
        if self.side is not None:
            resized = F.interpolate(images, (self.side, self.side), mode="bilinear", antialias=True)
        outputs = self.network(resized)
        if isinstance(outputs, dict):  # torchvision's for segmentation
            outputs = outputs["out"]
            if outputs.shape[-2:] != images.shape[-2:]:
                outputs = F.interpolate(outputs, images.shape[-2:], mode="bilinear")
        return outputs


def check_arguments(arguments: Mapping[str, Any], *refused: str) -> None:
    """Raise ValueError for arguments by which a library reads or fetches weights in its own way."""
    for name in refused:
        if name in arguments:
            raise ValueError(f"model.arguments.{name} is not for here; give model.pretrained=FILE")


def set_channels(network: nn.Module, channels: int) -> None:
    """Replace the first convolution by a new one where images have other than its channels."""
    found = first_convolution(network)
    if found is None or found[1].in_channels == channels:
        return
    name, old = found
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
    """Load a state dict of the same network, of any channels and any head."""
    found = first_convolution(network)
    if found is not None and f"{found[0]}.weight" in state:
        name = f"{found[0]}.weight"
        state[name] = adapt(state[name], found[1].in_channels)
    load_backbone(network, state, head, origin)


def no_weights(name: str, url: str, reason: object) -> ValueError:
    """What to say of weights that cannot be fetched."""
    text = (str(reason).splitlines() or [type(reason).__name__])[0]
    return ValueError(
        f"model.pretrained=true: the weights of {name} are not here and {url} cannot be fetched "
        f"({text}); give model.pretrained=FILE or model.pretrained=false"
    )
