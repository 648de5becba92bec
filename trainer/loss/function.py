"""Any function f(output, target) as a loss."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from trainer.config.build import import_callable
from trainer.core.errors import ConfigError
from trainer.loss.base import Loss

Call = Callable[[Tensor, Tensor], Tensor]


class Function(Loss):
    """A function by import path, called with outputs, labels and the keywords `arguments`.

    One that returns one number is applied to each example, as a batch of one: by `torch.vmap`, or
    in a loop where that cannot be. One that returns [B], or [B, H, W] for masks, is used as it is.
    What two and three copies of one example return tells them apart, once.

    Where masks have ignored pixels, a function of whole images sees them as labelled (255) and has
    to leave them out itself: `arguments: {ignore_index: 255}` for torch's.
    """

    targets: ClassVar[tuple[str, ...]] = ("class", "mask", "vector", "image")
    pixelwise = False  # until the function is found to return [B, H, W]

    def __init__(self, *, function: str, arguments: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.path = function
        self.function = partial(import_callable(function, "loss.function"), **(arguments or {}))
        self.call: Call | None = None  # the function on a batch, once that is found

    def prepare(self, class_counts: Tensor) -> None:
        """Find out about masks now: the first step asks at its start whether pixels have values."""
        if self.ignore_index is not None:
            labels = torch.zeros(1, 64, 64, dtype=torch.long)
            with suppress(ConfigError):  # of a size that it may not be for
                self.on_batch(torch.zeros(1, len(class_counts), 64, 64), labels)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """`score`, once it is known whether pixels have values: those ignored are then 0."""
        self.on_batch(outputs, labels)
        return super().forward(outputs, labels)

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B] or [B, H, W]."""
        call = self.on_batch(outputs, labels)
        if self.pixelwise or self.ignore_index is None:
            return call(outputs, labels)
        counted = self.count(labels)  # the mean over no pixel would be NaN
        seen = torch.where(counted[:, None, None] > 0, labels, 0)
        return counted * call(outputs, seen)

    def count(self, labels: Tensor) -> Tensor:
        """1 for each value; 0 for an image [B] all of whose pixels are ignored."""
        if self.pixelwise:
            return super().count(labels)
        if self.ignore_index is None:
            return torch.ones(len(labels), device=labels.device)
        return (labels != self.ignore_index).flatten(1).any(1).float()

    def on_batch(self, outputs: Tensor, labels: Tensor) -> Call:
        """The function on a batch."""
        if self.call is None:
            if self.ignore_index is not None:
                labels = labels.masked_fill(labels == self.ignore_index, 0)
            self.call = self.find(outputs.detach(), labels)
        return self.call

    def find(self, outputs: Tensor, labels: Tensor) -> Call:
        """The function on a batch, by what it returns for two examples and for three."""
        devices = [outputs.device] if outputs.is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices):  # a resumed run finds it once more
            two, three = (self.returned(copies(outputs, n), copies(labels, n)) for n in (2, 3))
            if two.numel() == three.numel() == 1:
                return self.by_example(copies(outputs, 2), copies(labels, 2))
        pixels = None if labels.is_floating_point() else labels.shape[1:]
        if two.shape == (2,) and three.shape == (3,):
            return lambda o, y: self.function(o, y).reshape(len(o))  # a squeeze() may leave []
        if pixels and two.shape == (2, *pixels) and three.shape == (3, *pixels):
            self.pixelwise = True
            return self.function
        raise ConfigError(
            f"loss.function={self.path} must return one number, [B], or [B, H, W] for masks; "
            f"for two examples it returned {list(two.shape)}"
        )

    def returned(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """What the function returns. Raises ConfigError where that is no tensor."""
        try:
            value = self.function(outputs, labels)
        except Exception as error:
            shapes = f"outputs {list(outputs.shape)} and labels {list(labels.shape)}"
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(f"loss.function={self.path} fails on {shapes}: {reason}") from error
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise ConfigError(f"loss.function={self.path} must return a tensor, got {kind}")
        return value

    def by_example(self, outputs: Tensor, labels: Tensor) -> Call:
        """The function on each example, vectorised if that works here."""

        def one(outputs: Tensor, label: Tensor) -> Tensor:
            return self.function(outputs[None], label[None]).reshape(())

        def loop(outputs: Tensor, labels: Tensor) -> Tensor:
            return torch.stack([one(o, y) for o, y in zip(outputs, labels, strict=True)])

        vectorised = torch.vmap(one, randomness="different")
        try:
            with warnings.catch_warnings(action="error"):  # it warns where it would be a loop
                vectorised(outputs, labels)
        except Exception:
            return loop
        return vectorised


def copies(values: Tensor, number: int) -> Tensor:
    """The first row of [B, ...], `number` times."""
    return values[:1].repeat_interleave(number, 0)
