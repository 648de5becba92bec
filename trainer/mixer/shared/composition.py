"""Mixers made of mixers: those that are drawn for a batch take turns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trainer.core.batch import Batch, Target
from trainer.core.duration import Clock
from trainer.mixer.base import Drawing, Mixer, own_share


@dataclass(kw_only=True)
class Composition(Mixer):
    """Base of `chain` and `random_choice`. A subclass writes `draw`, by `take_turns`."""

    targets = ("class", "mask", "vector", "image")

    mixers: Mapping[str, Mixer]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mixers:
            raise ValueError("mixer.mixers must name at least one mixer, got none")

    def bind(self, target: Target) -> None:
        """Take the kind of target. Raises ValueError where a mixer has no meaning for it."""
        super().bind(target)
        for mixer in self.mixers.values():
            mixer.bind(target)

    def bind_clock(self, clock: Clock) -> None:
        """Turn each `until` into epochs or steps."""
        super().bind_clock(clock)
        for mixer in self.mixers.values():
            mixer.bind_clock(clock)

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Let the mixers take their turns.

        What a box cuts out of an image that was pasted together need not hold its labels in their
        shares. Where that happens, the shares are counted from the pixels.
        """
        if sum(not mixer.uniform for mixer, _ in drawing.turns) < 2:
            return run(parts, drawing)
        tracked = [with_origin(part, k, len(parts)) for k, part in enumerate(parts)]
        mixed = run(tracked, drawing)
        images, origin = mixed.images.split([parts[0].images.shape[1], len(parts)], 1)
        pixels = list(origin.mean((2, 3)).unbind(1))
        if self.target == "class":
            shares = torch.cat(
                [p.shares * n[:, None] for p, n in zip(parts, pixels, strict=True)], 1
            )
        else:
            shares = own_share(parts, pixels)
        return replace(mixed, images=images.contiguous(), shares=shares)


def take_turns(size: int, drawn: list[tuple[Mixer, Drawing]]) -> Drawing:
    """One drawing of several mixers in turn.

    The last one blends rows with partners that the earlier ones have mixed: a row's partners are
    also the partners of its partners, and K is the product. `turns` holds, for each mixer, what it
    draws for the row and for each of the partners that later mixers blend it with.
    """
    at: list[Tensor] = [torch.arange(size)]
    turns: list[tuple[Mixer, list[Drawing]]] = []
    for mixer, drawing in reversed(drawn):
        drawings = [drawing.rows(rows) for rows in at]
        turns.insert(0, (mixer, drawings))
        at = [to for rows, each in zip(at, drawings, strict=True) for to in (rows, *each.partners)]
    return Drawing(at[1:], turns=turns)


def run(parts: list[Batch], drawing: Drawing) -> Batch:
    """Mix the parts of the first mixer, then what comes out, and so on."""
    for mixer, drawings in drawing.turns:
        width = len(parts) // len(drawings)
        parts = [mixer.mix(parts[i * width : (i + 1) * width], d) for i, d in enumerate(drawings)]
    return parts[0]


def with_origin(batch: Batch, part: int, parts: int) -> Batch:
    """The batch with a channel for each part, 1 in that of its own.

    They are mixed like the colours, so their means are the parts' shares of the pixels.
    """
    origin = torch.zeros_like(batch.images[:, :1]).expand(-1, parts, -1, -1).clone()
    origin[:, part] = 1
    return batch.with_images(torch.cat([batch.images, origin], 1))
