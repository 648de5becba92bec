"""Test-time augmentation: averages probabilities over views of an image."""

from itertools import product
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.probability import log_mean

View = Literal["none", "flip", "shift"]
FRACTION = 32  # a shift is 1/32 of the side, and at least one pixel


class TestTimeAugmentation(nn.Module):
    """Wraps a model to return log mean probabilities over views, including the plain image.

    `flip` adds the mirror image, `shift` four copies shifted by 1/32 of the side, at least one
    pixel, repeating the edge; with both, all five are mirrored too. Dense outputs are shifted and
    mirrored back before averaging.
    """

    def __init__(self, model: nn.Module, names: list[View]) -> None:
        super().__init__()
        self.model = model
        moves = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)] if "shift" in names else [(0, 0)]
        self.views = list(product(moves, [False, True] if "flip" in names else [False]))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to log probabilities [B, classes, ...]."""
        log_p = []
        for (down, right), flipped in self.views:
            view = shifted(images, down, right)
            outputs = self.model(view.flip(-1) if flipped else view).float()
            if outputs.ndim == 4:
                outputs = shifted(outputs.flip(-1) if flipped else outputs, -down, -right)
            log_p.append(outputs.log_softmax(1))
        return log_mean(log_p)


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    """Shift images [B, C, H, W] by steps of 1/32 of the side, repeating the edge."""
    if down == right == 0:
        return images
    height, width = images.shape[-2:]
    by, bx = down * max(1, height // FRACTION), right * max(1, width // FRACTION)
    padded = F.pad(images, (abs(bx), abs(bx), abs(by), abs(by)), mode="replicate")
    top, left = abs(by) - by, abs(bx) - bx
    return padded[..., top : top + height, left : left + width]
