"""What a mixer does: draw partners and shares for a whole batch, then blend rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, Target
from trainer.core.duration import Clock, Until, parse
from trainer.core.option import option_of
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId


@dataclass(frozen=True)
class Drawing:
    """What a mixer drew for a batch of B rows, the same on every process."""

    partners: list[Tensor]  # K - 1 tensors [B]: positions in the batch
    values: dict[str, Tensor] = field(default_factory=dict)  # [B, ...] by name
    turns: list[tuple["Mixer", list["Drawing"]]] = field(default_factory=list)  # see Composition

    def map(self, change: Callable[[Tensor], Tensor]) -> "Drawing":
        """The drawing with every tensor changed."""
        return Drawing(
            [change(partner) for partner in self.partners],
            {name: change(value) for name, value in self.values.items()},
            [(mixer, [each.map(change) for each in drawn]) for mixer, drawn in self.turns],
        )

    def to(self, device: torch.device) -> "Drawing":
        """The drawing on the device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def rows(self, at: Tensor | slice) -> "Drawing":
        """The drawing of the rows `at`, positions [b] or a slice."""
        return self.map(lambda tensor: tensor[at])


@dataclass(kw_only=True)
class Mixer(ABC):
    """Blends each image with others of its batch.

    Class labels are laid side by side with their shares. Masks, vectors and images, the targets of
    the other tasks, are pasted or blended themselves: K stays 1, and `shares` [B, 1] is the part
    that the row's own example has.

    A batch is mixed with a `probability`, and none is after the length `until`. Batches that are
    not mixed keep their K.
    """

    targets: ClassVar[tuple[Target, ...]] = ("class",)  # those that it has a meaning for
    uniform: ClassVar[bool] = False  # whether each pixel holds the parts by their shares

    probability: float = 1.0
    until: str | None = None

    def __post_init__(self) -> None:
        within("mixer.probability", self.probability, "[0, 1]")
        if self.until is not None:
            parse(self.until, "mixer.until")
        self.target: Target = "class"
        self.end: Until | None = None

    def bind(self, target: Target) -> None:
        """Take the kind of target. Raises ValueError where mixing it has no meaning."""
        if target not in self.targets:
            name, known = option_of(self), ", ".join(self.targets)
            raise ValueError(
                f"mixer={name} has no meaning for a {target} target, only "
                f"for: {known}; take mixer=none"
            )
        self.target = target

    def bind_clock(self, clock: Clock) -> None:
        """Turn `until` into epochs or steps; before that, mixing does not end."""
        self.end = None if self.until is None else Until(self.until, clock)

    @abstractmethod
    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Partners and shares for `size` rows of images of height and width `image`."""

    @abstractmethod
    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Blend the rows of parts[0] with their partners in parts[1:]."""

    def decide(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """What is drawn for a batch; a drawing without partners where it is not mixed."""
        mixed = rng.random() < self.probability
        if not mixed or (self.end is not None and self.end.passed(step_id.epoch, step_id.step)):
            return Drawing([])
        return self.draw(size, image, rng, step_id)

    def __call__(self, batch: Batch, step_id: StepId) -> Batch:
        """Mix a whole batch with itself."""
        height, width = batch.images.shape[-2:]
        drawing = self.decide(len(batch), (height, width), step_id.generator(Purpose.MIX), step_id)
        if not drawing.partners:
            return batch
        drawing = drawing.to(batch.images.device)
        return self.mix([batch, *map(batch.rows, drawing.partners)], drawing)


def fuse(images: Tensor, labels: Tensor, parts: list[Batch], shares: list[Tensor]) -> Batch:
    """The batch whose targets [B, 1, ...] are mixed themselves, of `shares[i]` [B] of `parts[i]`.

    The weight of a row is the product of its parts' weights, as in `blend`.
    """
    weight = torch.stack([part.weight for part in parts]).prod(0)
    own = own_share(parts, shares)
    return replace(parts[0], images=images, labels=labels, shares=own, weight=weight)


def own_share(parts: list[Batch], shares: list[Tensor]) -> Tensor:
    """[B, 1]: the part that a row's own example has; a row may have itself for a partner."""
    owned = [
        part.shares * share[:, None] * (part.index == parts[0].index)
        for part, share in zip(parts, shares, strict=True)
    ]
    return torch.stack(owned).sum(0)
