"""What a detector of two stages returns in training, before its head has judged anything."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass
class Proposed:
    """What the trunk returns in training: the first stage's outputs, and the regions it proposes.

    `head` is run later, on some of the regions, in the precision of the trunk.
    """

    features: dict[str, Tensor]
    anchors: Tensor  # [A, 4]
    objectness: Tensor  # [B, A] logits
    offsets: Tensor  # [B, A, 4]
    proposals: list[Tensor]  # [p, 4] of each image
    autocast: Callable[[], Any]
    truth: Tensor | None = None  # [B, R] p of the labels of the regions; NaN: not judged

    def __getitem__(self, rows: slice) -> "Proposed":
        """The same of some of the images."""
        return replace(
            self,
            features={name: value[rows] for name, value in self.features.items()},
            objectness=self.objectness[rows],
            offsets=self.offsets[rows],
            proposals=self.proposals[rows],
        )

    def float(self) -> "Proposed":
        """The same with the first stage's outputs in float32."""
        return replace(self, objectness=self.objectness.float(), offsets=self.offsets.float())

    def detach(self) -> "Proposed":
        """The same: what is kept of it has no gradient."""
        return self


def autocast_of(device: str) -> Callable[[], Any]:
    """A context in which a later pass has the precision of this one."""
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    return lambda: torch.autocast(device, dtype, enabled=enabled)
