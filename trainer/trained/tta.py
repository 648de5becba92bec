"""Test-time augmentation: averages probabilities over views of an image."""

from collections.abc import Sequence
from itertools import product
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.batch import Input
from trainer.core.errors import ConfigError
from trainer.core.probability import mean_outputs

View = Literal["none", "flip", "shift"]
AVERAGED = ("class", "multilabel", "mask")  # the labels whose outputs are probabilities
FRACTION = 32  # a shift is 1/32 of the side, and at least one pixel


def check_views(names: Sequence[View], kind: Input, target: str) -> None:
    """Raise ConfigError for inputs that have no such views, and outputs that have no mean."""
    said = names[0] if len(names) == 1 else f"[{','.join(names)}]"
    setting = f"job.tta={said}"
    if kind != "image":
        raise ConfigError(f"{setting} is for images, not for {kind}s; leave it out")
    if target not in AVERAGED:
        raise ConfigError(
            f"{setting} averages class probabilities, which {target} labels do not have; leave it "
            "out"
        )


class TestTimeAugmentation(nn.Module):
    """Wraps a model to return outputs of the mean probabilities over views, the plain image too.

    `flip` adds the mirror image, `shift` four copies shifted by 1/32 of the side, at least one
    pixel, repeating the edge; with both, all five are mirrored too. Dense outputs are shifted and
    mirrored back before averaging. With `several` labels an image, each class has its own.
    """

    def __init__(self, model: nn.Module, names: list[View], *, several: bool = False) -> None:
        super().__init__()
        self.model = model
        self.several = several
        moves = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)] if "shift" in names else [(0, 0)]
        self.views = list(product(moves, [False, True] if "flip" in names else [False]))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to log probabilities, or logits of several, [B, classes, ...]."""
        views = []
        for (down, right), flipped in self.views:
            view = shifted(images, down, right)
            outputs = self.model(view.flip(-1) if flipped else view).float()
            if outputs.ndim == 4:
                outputs = shifted(outputs.flip(-1) if flipped else outputs, -down, -right)
            views.append(outputs)
        return mean_outputs(views, several=self.several)


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Shift images [B, C, H, W] by steps of 1/32 of the side, repeating the edge."""
    if down == right == 0:
        return images
    height, width = images.shape[-2:]
    by, bx = down * max(1, height // FRACTION), right * max(1, width // FRACTION)
    padded = F.pad(images, (abs(bx), abs(bx), abs(by), abs(by)), mode="replicate")
    top, left = abs(by) - by, abs(bx) - bx
    return padded[..., top : top + height, left : left + width]
