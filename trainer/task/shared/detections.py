"""The boxes that a model finds in images."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Detections:
    """At most K boxes for each of B images, in descending order of their scores."""

    boxes: Tensor  # float [B, K, 4]: x0, y0, x1, y1 in pixels of the model's input
    scores: Tensor  # float [B, K], from 0 to 1
    classes: Tensor  # int64 [B, K], from 1; 0 is padding
