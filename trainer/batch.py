"""What a step trains on: images, each a blend of K labelled examples."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

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
