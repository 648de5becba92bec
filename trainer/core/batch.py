"""What a step trains on: images, each a blend of K labelled examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One batch, or one chunk of it. Shapes with B rows and K labels a row.

    Where a mixer blended the targets themselves (masks, regression), K is 1 and the share is the
    part that the row's own example has.
    """

    images: Tensor  # [B, C, H, W]
    labels: Tensor  # [B, K, ...] K is 1 until a mixer runs
    shares: Tensor  # [B, K] part of image b that is label k; rows sum to 1, but see below
    index: Tensor  # [B, K] dataset id behind each label
    weight: Tensor  # [B] or [B, H, W] factor on the loss
    count: Tensor  # [B] or [B, H, W] what the loss adds to the denominator

    def __len__(self) -> int:
        return len(self.images)

    def with_images(self, images: Tensor) -> "Batch":
        """The batch with other images [B, C, H, W]."""
        return Batch(images, self.labels, self.shares, self.index, self.weight, self.count)

    def rows(self, at: Tensor | slice) -> "Batch":
        """The batch of the rows `at`, positions [b] or a slice."""
        return Batch(
            self.images[at],
            self.labels[at],
            self.shares[at],
            self.index[at],
            self.weight[at],
            self.count[at],
        )

    def chunks(self, number: int) -> Iterator["Batch"]:
        """The batch in at most `number` parts of nearly equal length, in order."""
        if number == 1:
            yield self
            return
        size = -(-len(self) // number)
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def dominant(self) -> tuple[Tensor, Tensor]:
        """Label [B, ...] and dataset id [B] with the largest share of each image."""
        if self.shares.shape[1] == 1:
            return self.labels[:, 0], self.index[:, 0]
        row = torch.arange(len(self.shares), device=self.shares.device)
        largest = self.shares.argmax(1)
        return self.labels[row, largest], self.index[row, largest]


def blend(images: Tensor, parts: list[Batch], shares: list[Tensor]) -> Batch:
    """The batch whose images [B, C, H, W] hold `shares[i]` [B] of `parts[i]`.

    Labels, shares and ids of the parts are laid side by side, so mixing what is already mixed
    multiplies K. The weight of a mixed image is the product of its parts' weights (an importance
    weight 1/(N p) of each draw); its count is the first part's.
    """
    weight = parts[0].weight
    for part in parts[1:]:
        weight = weight * part.weight
    return replace(
        parts[0],
        images=images,
        labels=torch.cat([part.labels for part in parts], 1),
        shares=torch.cat([p.shares * s[:, None] for p, s in zip(parts, shares, strict=True)], 1),
        index=torch.cat([part.index for part in parts], 1),
        weight=weight,
    )


def contract(value: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Σ_k share_k · value(label_k) over the K labels: [B] or [B, H, W]."""
    if batch.labels.shape[1] == 1:
        return value(batch.labels[:, 0])
    values = [value(labels) for labels in batch.labels.unbind(1)]
    return torch.stack(
        [spread(share, v) * v for share, v in zip(batch.shares.unbind(1), values, strict=True)]
    ).sum(0)


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Values [B], or those of pixels, shaped so that they go with a tensor [B, ...]."""
    if values.ndim == like.ndim:
        return values
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def only(batch: Batch, mask: Tensor) -> Batch:
    """The batch with weight and count 0 where the mask [B] or [B, H, W] is false."""
    weight, count = (spread(x, mask) * spread(mask, x) for x in (batch.weight, batch.count))
    return replace(batch, weight=weight, count=count)


Target = Literal["class", "mask", "vector", "image"]  # what the label of an example is
