"""Mixers composed of other mixers, which are applied to a batch in turn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.core.batch import Batch, Target
from trainer.core.duration import Clock
from trainer.mixer.base import Drawing, Mixer, own_share


@dataclass(kw_only=True)
class Composition(Mixer):
    """Base of `chain` and `random_choice`. A subclass implements `draw` with `take_turns`."""

    targets = ("class", "multilabel", "mask", "vector", "image")

    mixers: Mapping[str, Mixer]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mixers:
            raise ValueError("mixer.mixers must name at least one mixer, got none")

    def bind(self, target: Target) -> None:
        """Set the kind of target. Raises ValueError for a kind that some mixer cannot mix."""
        super().bind(target)
        for mixer in self.mixers.values():
            mixer.bind(target)

    def bind_clock(self, clock: Clock) -> None:
        """Convert each `until` to epochs or steps."""
        super().bind_clock(clock)
        for mixer in self.mixers.values():
            mixer.bind_clock(clock)

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Apply the mixers in turn to the parts [B, C, H, W].

        A box cut from an image that is already pasted need not contain its labels in proportion to
        their shares. Where that can happen, the shares are measured in pixels.
        """
        if sum(not mixer.uniform for mixer, _ in drawing.turns) < 2:
            return run(parts, drawing)
        tracked = [with_origin(part, k, len(parts)) for k, part in enumerate(parts)]
        mixed = run(tracked, drawing)
        images, origin = mixed.images.split([parts[0].images.shape[1], len(parts)], 1)
        pixels = list(origin.mean((2, 3)).unbind(1))
        if self.side_by_side:
            shares = torch.cat(
                [p.shares * n[:, None] for p, n in zip(parts, pixels, strict=True)], 1
            )
        else:
            shares = own_share(parts, pixels)
        return replace(mixed, images=images.contiguous(), shares=shares)


def take_turns(size: int, drawn: list[tuple[Mixer, Drawing]]) -> Drawing:
    """Combine the drawings of several mixers, in order of application, into one.

    Later mixers blend rows with partners that earlier ones have mixed, so a row's partners include
    its partners' partners, and K is the product. `turns` contains, for each mixer, its drawings
    for the row and for each of the partners that later mixers blend it with.
    """
    at: list[Tensor] = [torch.arange(size)]
    turns: list[tuple[Mixer, list[Drawing]]] = []
    for mixer, drawing in reversed(drawn):
        drawings = [drawing.select(rows) for rows in at]
        turns.insert(0, (mixer, drawings))
        at = [to for rows, each in zip(at, drawings, strict=True) for to in (rows, *each.partners)]
    return Drawing(at[1:], turns=turns)


def run(parts: list[Batch], drawing: Drawing) -> Batch:
    """Apply the mixers in turn, each to the parts that the previous one returned."""
    for mixer, drawings in drawing.turns:
        width = len(parts) // len(drawings)
        parts = [mixer.mix(parts[i * width : (i + 1) * width], d) for i, d in enumerate(drawings)]
    return parts[0]


def with_origin(batch: Batch, part: int, parts: int) -> Batch:
    """The batch with an additional channel for each part, 1 in that of its own part and else 0.

    They are mixed like colours, so their means are the parts' shares of the pixels.
    """
    origin = torch.zeros_like(batch.images[:, :1]).expand(-1, parts, -1, -1).clone()
    origin[:, part] = 1
    return batch.with_images(torch.cat([batch.images, origin], 1))
