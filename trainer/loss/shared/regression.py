"""Losses of float targets."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.core.option import option_of
from trainer.loss.base import Loss


class Regression(Loss):
    """One value per example: the mean of `errors` over the elements of its target."""

    targets: ClassVar[tuple[str, ...]] = ("vector", "image")
    pixelwise = False

    @abstractmethod
    def errors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The error of each element, [B, ...], [B, ...] → [B, ...]."""

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B]. Raises ConfigError if the shapes differ."""
        if outputs.shape != labels.shape:  # torch broadcasts [B, 1] and [B] to [B, B]
            name = option_of(self)
            raise ConfigError(
                f"loss={name} needs outputs and targets of the same shape, got "
                f"{list(outputs.shape)} and {list(labels.shape)}"
            )
        values = self.errors(outputs, labels)
        return values.reshape(len(values), -1).mean(1)

    def count(self, labels: Tensor) -> Tensor:
        """1 for each example [B], regardless of the size of its target."""
        return torch.ones(len(labels), device=labels.device)
