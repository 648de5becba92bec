"""Large scale jitter (Ghiasi et al. 2021, https://arxiv.org/abs/2012.07177, sec. 3), in the frame.

torchvision's `ScaleJitter`, then a cut or a padding back to the size of the images.
"""

import torch
from torch import Tensor

from trainer.augmentation.base import Geometric
from trainer.augmentation.shared.box import place
from trainer.augmentation.shared.kernel.geometry import resize_weights, sample
from trainer.augmentation.shared.settings import Range, interval
from trainer.core.seed import ExampleRandom

Frame = tuple[Tensor, Tensor, Tensor, Tensor]  # top, left, height, width of the resized, each [B]


class ScaleJitter(Geometric):
    """Each image is resized by a factor of its own, with antialiasing, and put at a random place.

    A larger one is cut, a smaller one lies within black.
    """

    def __init__(self, *, scale_range: Range = (0.1, 2.0)) -> None:
        self.scale_range = interval(
            "augmentation.scale_jitter.scale_range", scale_range, "(0, inf)"
        )

    def draw(self, draws: ExampleRandom, size: tuple[int, int]) -> Frame:
        """Where the resized images lie in the frame; outside of it they are cut."""
        factor = draws.uniform(*self.scale_range)
        height, width = ((side * factor).long().clamp(min=1) for side in size)
        starts = []
        for side, resized in zip(size, (height, width), strict=True):
            room = side - resized  # below 0 where there is something to cut
            starts.append(place(draws, room.abs()) + room.clamp(max=0))
        return starts[0], starts[1], height, width

    def move(self, images: Tensor, parameters: Frame, *, nearest: bool, fill: float) -> Tensor:
        """[B, C, H, W] to [B, C, H, W]."""
        top, left, height, width = parameters
        if nearest:
            rows = positions(top, height, images.shape[2])
            columns = positions(left, width, images.shape[3])
            return sample(images, rows, columns, nearest=True, fill=fill)
        rows = resize_weights(images.shape[2], height, top)[:, None]
        columns = resize_weights(images.shape[3], width, left)[:, None]
        return rows @ (images - fill) @ columns.mT + fill


def positions(start: Tensor, resized: Tensor, size: int) -> Tensor:
    """[B, size]: the pixel of an axis that lies at each of the frame; outside of it −2 or less."""
    place = torch.arange(size, device=start.device) - start[:, None]
    inside = (place >= 0) & (place < resized[:, None])
    return ((place + 0.5) * (size / resized)[:, None]).floor().where(inside, -2)
