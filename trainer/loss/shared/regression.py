"""What the losses of float targets share."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.option import option_of
from trainer.loss.base import Loss


class Regression(Loss):
    """The mean of a value per element over the elements of each example's target."""

    targets: ClassVar[tuple[str, ...]] = ("vector", "image")
    pixelwise = False

    @abstractmethod
    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The unreduced value of each element, [B, ...]."""

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B]. Raises ConfigError where the two differ in shape."""
        if outputs.shape != labels.shape:  # torch broadcasts [B, 1] and [B] to [B, B]
            name = option_of(self)
            raise ConfigError(
                f"loss={name} wants outputs and targets of one shape, got "
                f"{list(outputs.shape)} and {list(labels.shape)}"
            )
        values = self.errors(outputs, labels)
        return values.reshape(len(values), -1).mean(1)

    def count(self, labels: Tensor) -> Tensor:
        """Each example [B] counts once, whatever its target's size."""
        return torch.ones(len(labels), device=labels.device)
