"""An arbitrary function f(outputs, labels) as a loss."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config.build import import_callable
from trainer.core.errors import ConfigError
from trainer.core.option import import_path
from trainer.loss.base import Loss

Call = Callable[[Tensor, Tensor], Tensor]


class Function(Loss):
    """A function, or its import path, called with outputs, labels and the keywords `arguments`.

    A function that returns one number is applied to each example as a batch of one, by `torch.vmap`
    or, where that fails, in a loop. One that returns [B], or [B, H, W] for masks, is called on the
    batch. The first call distinguishes them by the results for two and three copies of an example.

    Multi-hot labels are passed as float [B, C], as torch's functions want them.

    A function with one value per mask receives ignored pixels with their label (255) and must
    leave them out itself: `arguments: {ignore_index: 255}` for torch's functions.
    """

    targets: ClassVar[tuple[str, ...]] = ("class", "multilabel", "mask", "vector", "image")
    pixelwise = False  # unless the function turns out to return [B, H, W]

    def __init__(
        self,
        *,
        function: str | Callable = F.cross_entropy,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.path = import_path(function)
        imported = function if callable(function) else import_callable(function, "loss.function")
        self.function = partial(imported, **(arguments or {}))
        self.call: Call | None = None  # the batched function, set by the first call

    def prepare(self, class_counts: Tensor) -> None:
        """Set `pixelwise` for masks: the first step reads it before it calls the function."""
        if self.ignore_index is not None:
            labels = torch.zeros(1, 64, 64, dtype=torch.long)
            with suppress(ConfigError):  # the function may not accept this size
                self.on_batch(torch.zeros(1, len(class_counts), 64, 64), labels)

    def forward(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """`score` of [B, ...], [B, ...], with 0 for ignored pixels if it is one value per pixel."""
        if labels.dtype == torch.bool:
            labels = labels.float()
        self.on_batch(outputs, labels)
        return super().forward(outputs, labels)

    def score(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[B, ...], [B, ...] → [B] or [B, H, W]."""
        call = self.on_batch(outputs, labels)
        if self.pixelwise or self.ignore_index is None:
            return call(outputs, labels)
        counted = self.count(labels)  # the mean over no pixels would be NaN
        seen = torch.where(counted[:, None, None] > 0, labels, 0)
        return counted * call(outputs, seen)

    def count(self, labels: Tensor) -> Tensor:
        """1 for each value of labels [B, ...], but 0 for an image whose pixels are all ignored."""
        if self.pixelwise:
            return super().count(labels)
        if self.ignore_index is None:
            return torch.ones(len(labels), device=labels.device)
        return (labels != self.ignore_index).flatten(1).any(1).float()

    def on_batch(self, outputs: Tensor, labels: Tensor) -> Call:
        """The batched function, determined once from outputs and labels [B, ...]."""
        if self.call is None:
            if self.ignore_index is not None:
                labels = labels.masked_fill(labels == self.ignore_index, 0)
            self.call = self.batched(outputs.detach(), labels)
        return self.call

    def batched(self, outputs: Tensor, labels: Tensor) -> Call:
        """The batched function, determined by its results for two and for three examples.

        Raises ConfigError if their shapes are not those of a loss.
        """
        devices = [outputs.device] if outputs.is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices):  # a resumed run calls this again
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
        """The function's result. Raises ConfigError if it fails or returns no tensor."""
        try:
            value = self.function(outputs, labels)
        except Exception as error:
            shapes = f"outputs {list(outputs.shape)} and labels {list(labels.shape)}"
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigError(f"loss.function={self.path} fails on {shapes}: {reason}") from error
        if not isinstance(value, Tensor):
            name = type(value).__name__
            raise ConfigError(f"loss.function={self.path} must return a tensor, got {name}")
        return value

    def by_example(self, outputs: Tensor, labels: Tensor) -> Call:
        """The function applied to each example, vectorised where `torch.vmap` can."""

        def one(outputs: Tensor, label: Tensor) -> Tensor:
            return self.function(outputs[None], label[None]).reshape(())

        def loop(outputs: Tensor, labels: Tensor) -> Tensor:
            return torch.stack([one(o, y) for o, y in zip(outputs, labels, strict=True)])

        vectorised = torch.vmap(one, randomness="different")
        try:
            with warnings.catch_warnings(action="error"):  # vmap warns when it loops
                vectorised(outputs, labels)
        except Exception:
            return loop
        return vectorised


def copies(values: Tensor, number: int) -> Tensor:
    """The first row of [B, ...] repeated `number` times, [number, ...]."""
    return values[:1].repeat_interleave(number, 0)
