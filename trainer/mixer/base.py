"""The contract of a mixer: draw partners and shares for a whole batch, then blend rows."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, Input, Target, target_kind
from trainer.core.duration import Clock, Duration, Until, in_units, parse
from trainer.core.option import option_of
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId


@dataclass(frozen=True)
class Drawing:
    """The random draw of a mixer for a batch of B rows, the same in every process."""

    partners: list[Tensor]  # K - 1 tensors [B]: positions in the batch
    values: dict[str, Tensor] = field(default_factory=dict)  # [B, ...] by name
    turns: list[tuple["Mixer", list["Drawing"]]] = field(default_factory=list)  # see Composition

    def map(self, change: Callable[[Tensor], Tensor]) -> "Drawing":
        """Apply `change` to every tensor of the drawing."""
        return Drawing(
            [change(partner) for partner in self.partners],
            {name: change(value) for name, value in self.values.items()},
            [(mixer, [each.map(change) for each in drawn]) for mixer, drawn in self.turns],
        )

    def to(self, device: torch.device) -> "Drawing":
        """The drawing with its tensors on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))

    def select(self, at: Tensor | slice) -> "Drawing":
        """The drawing for the rows `at`, positions [b] or a slice."""
        return self.map(lambda tensor: tensor[at])


@dataclass(kw_only=True)
class Mixer(ABC):
    """Blends each image with others of its batch.

    Class ids and multi-hot labels are stored side by side with their shares: the losses are linear
    in the label, so their share-weighted sum is the loss of the blended multi-hot label. Targets
    that are masks, vectors or images are themselves pasted or blended: K stays 1, and `shares` [B,
    1] is the part of a row that comes from its own example.

    A batch is mixed with a `probability`, and never after the duration `until`. Unmixed batches
    keep their K.
    """

    inputs: ClassVar[tuple[Input, ...]] = ("image",)  # kinds of input it can mix
    targets: ClassVar[tuple[Target, ...]] = ("class",)  # kinds of target it can mix
    uniform: ClassVar[bool] = False  # True if every pixel has the same shares

    probability: float = 1.0
    until: Duration | None = None

    def __post_init__(self) -> None:
        within("mixer.probability", self.probability, "[0, 1]")
        self.target: Target = "class"
        self.end: Until | None = None
        if self.until is not None:
            self.until = in_units(self.until)
            parse(self.until, "mixer.until")
            self.end = UnboundEnd(self.until)

    def bind(self, target: Target) -> None:
        """Set the kind of target. Raises ValueError for a kind that this mixer cannot mix."""
        if target not in self.targets:
            name, known = option_of(self), ", ".join(self.targets)
            raise ValueError(
                f"mixer={name} cannot mix a {target} target, only: {known}; use mixer=none"
            )
        self.target = target

    @property
    def side_by_side(self) -> bool:
        """Whether the labels are kept with their shares, not blended."""
        return self.target in ("class", "multilabel")

    def bind_clock(self, clock: Clock) -> None:
        """Convert `until` to epochs or steps."""
        self.end = None if self.until is None else Until(in_units(self.until), clock)

    @abstractmethod
    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Draw partners and shares for `size` rows of images of height and width `image`."""

    @abstractmethod
    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Blend the rows of parts[0] with their partners, parts[1:]."""

    def decide(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Draw for a batch; without partners in the drawing, the batch stays unmixed."""
        mixed = rng.random() < self.probability
        if not mixed or (self.end is not None and self.end.passed(step_id.epoch, step_id.step)):
            return Drawing([])
        return self.draw(size, image, rng, step_id)

    def mixed(self, images: Tensor, labels: Tensor, rng: np.random.Generator) -> Batch:
        """Mix images [B, C, H, W] and labels [B, ...] with each other, for use without the runner.

        Raises ValueError for targets that this mixer cannot mix, RuntimeError if `until` is set.
        """
        self.bind(target_kind(labels))
        return self.with_itself(Batch.of(images, labels), rng, StepId(0, 0, 1))

    def __call__(self, batch: Batch, step_id: StepId) -> Batch:
        """Mix a whole batch with itself; the random numbers depend only on `step_id`."""
        return self.with_itself(batch, step_id.generator(Purpose.MIX), step_id)

    def with_itself(self, batch: Batch, rng: np.random.Generator, step_id: StepId) -> Batch:
        """Mix a whole batch with itself, drawing from a random number generator."""
        height, width = batch.images.shape[-2:]
        drawing = self.decide(len(batch), (height, width), rng, step_id)
        if not drawing.partners:
            return batch
        drawing = drawing.to(batch.images.device)
        return self.mix([batch, *map(batch.select, drawing.partners)], drawing)


class UnboundEnd(Until):
    """The end of a mixer whose `until` has not been converted by `bind_clock`."""

    def __init__(self, length: str) -> None:
        self.length = length

    def passed(self, epoch: int, step: int) -> bool:
        """False at the first step. Raises RuntimeError at any other: the end is unknown."""
        if epoch or step:
            raise RuntimeError(
                f"mixer.until={self.length} needs bind_clock(Clock(steps_per_epoch, total)) first, "
                "and calls with a StepId"
            )
        return False


def fuse(images: Tensor, labels: Tensor, parts: list[Batch], shares: list[Tensor]) -> Batch:
    """A batch of mixed images and targets [B, 1, ...], with `shares[i]` [B] of `parts[i]`.

    The weight of a row is the product of its parts' weights, as in `blend`.
    """
    weight = torch.stack([part.weight for part in parts]).prod(0)
    own = own_share(parts, shares)
    return replace(parts[0], images=images, labels=labels, shares=own, weight=weight)


def own_share(parts: list[Batch], shares: list[Tensor]) -> Tensor:
    """The share [B, 1] of each row that is its own example, as row and as partner."""
    own = [
        part.shares * share[:, None] * (part.index == parts[0].index)
        for part, share in zip(parts, shares, strict=True)
    ]
    return torch.stack(own).sum(0)
