"""RICAP, random image cropping and patching (Takahashi et al. 2018), sec. 3.

https://arxiv.org/abs/1811.09030
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, blend
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing, Mixer, fuse


@dataclass(kw_only=True)
class Ricap(Mixer):
    """Patches random crops of four images together; they meet at Beta(β, β) of each side.

    The labels' shares are the areas of the patches; the label of an empty patch has share 0.
    Targets that are masks or images are patched likewise.
    """

    targets = ("class", "multilabel", "mask", "image")

    beta: float = 0.3
    per_image: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mixer.beta", self.beta, "(0, inf)")

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Three permutations; corner [B, 2], shift [B, 4, 2] to the crops and share [B, 4]."""
        partners = [torch.from_numpy(rng.permutation(size)) for _ in range(3)]
        number = size if self.per_image else 1
        whole = np.array(image)
        corner = np.rint(whole * rng.beta(self.beta, self.beta, (number, 2))).astype(int)
        lower = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # [4, 2] whether below and right of it
        length = np.where(lower, whole - corner[:, None], corner[:, None])
        start = rng.integers(0, whole - length + 1)  # of the crop, in its own image
        drawn = {
            "corner": corner,
            "shift": start - lower * corner[:, None],
            "share": (length.prod(2) / whole.prod()).astype(np.float32),
        }
        tensors = {name: torch.from_numpy(value) for name, value in drawn.items()}
        return Drawing(partners, {n: t.expand(size, *t.shape[1:]) for n, t in tensors.items()})

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Patch crops of the four images [B, C, H, W] together."""
        shares = list(drawing.values["share"].unbind(1))
        height, width = parts[0].images.shape[-2:]
        source = sources(drawing.values["corner"], drawing.values["shift"], height, width)
        images = patch([part.images for part in parts], source)
        if self.side_by_side:
            return blend(images, parts, shares)
        return fuse(images, patch([part.labels for part in parts], source), parts, shares)


def sources(corner: Tensor, shift: Tensor, height: int, width: int) -> Tensor:
    """The source of each pixel, [B, H·W], as an index into the four images, concatenated flat."""
    y = torch.arange(height, device=corner.device)[:, None]
    x = torch.arange(width, device=corner.device)
    below, right = y >= corner[:, 0, None, None], x >= corner[:, 1, None, None]
    image = (2 * below + right).flatten(1)
    dy, dx = shift[:, :, 0].gather(1, image), shift[:, :, 1].gather(1, image)
    return image * (height * width) + (y * width + x).flatten() + dy * width + dx


def patch(images: list[Tensor], source: Tensor) -> Tensor:
    """Gather the pixels `source` [B, H·W] of four images [B, ..., H, W] → [B, ..., H, W]."""
    first = images[0]
    pixels = torch.cat([image.flatten(-2) for image in images], -1)
    index = source.view(len(source), *[1] * (first.ndim - 3), -1)
    return pixels.gather(-1, index.expand(*pixels.shape[:-1], -1)).view(first.shape)
