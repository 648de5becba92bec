"""What a mixer does: draw partners and shares for a whole batch, then blend rows."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from trainer.batch import Batch
from trainer.seed import Moment, Purpose


@dataclass(frozen=True)
class Drawing:
    """What a mixer drew for a batch of B rows, the same on every process."""

    partners: list[Tensor]  # K - 1 tensors [B]: positions in the batch
    values: dict[str, Tensor] = field(default_factory=dict)  # [B, ...] by name

    def to(self, device: torch.device) -> "Drawing":
        """The drawing on the device."""
        values = {name: value.to(device) for name, value in self.values.items()}
        return Drawing([p.to(device) for p in self.partners], values)


class Mixer(ABC):
    """Blends each image with others of its batch."""

    @abstractmethod
    def draw(self, size: int, image: tuple[int, int], rng: np.random.Generator) -> Drawing:
        """Partners and shares for `size` rows of images of height and width `image`."""

    @abstractmethod
    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Blend the rows of parts[0] with their partners in parts[1:]."""

    def __call__(self, batch: Batch, moment: Moment) -> Batch:
        """Mix a whole batch with itself."""
        height, width = batch.images.shape[-2:]
        rng = moment.generator(Purpose.MIX)
        drawing = self.draw(len(batch), (height, width), rng).to(batch.images.device)
        return self.mix([batch, *map(batch.rows, drawing.partners)], drawing)
