"""Test-time augmentation: the mean probability over views of an image."""

from itertools import product
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from trainer.core.probability import log_mean

View = Literal["none", "flip", "shift"]
PART = 32  # a shift is this part of the side, and at least a pixel


class TestTimeAugmentation(nn.Module):
    """A model that answers with log mean probabilities over views, the plain one among them.

    `flip` adds the mirror image, `shift` four images moved by a 32nd of their side, at least a
    pixel, with the edge repeated; together, each of the five is mirrored too. What is said of a
    mask's pixels is moved back.
    """

    def __init__(self, model: nn.Module, names: list[View]) -> None:
        super().__init__()
        self.model = model
        moves = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)] if "shift" in names else [(0, 0)]
        self.views = list(product(moves, [False, True] if "flip" in names else [False]))

    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → log probabilities [B, classes, ...]."""
        log_p = []
        for (down, right), flipped in self.views:
            seen = moved(images, down, right)
            outputs = self.model(seen.flip(-1) if flipped else seen).float()
            if outputs.ndim == 4:
                outputs = moved(outputs.flip(-1) if flipped else outputs, -down, -right)
            log_p.append(outputs.log_softmax(1))
        return log_mean(log_p)


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Images [B, C, H, W] moved by so many steps, the edge repeated."""
    if down == right == 0:
        return images
    height, width = images.shape[-2:]
    by, bx = down * max(1, height // PART), right * max(1, width // PART)
    padded = F.pad(images, (abs(bx), abs(bx), abs(by), abs(by)), mode="replicate")
    top, left = abs(by) - by, abs(bx) - bx
    return padded[..., top : top + height, left : left + width]
