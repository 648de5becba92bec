"""A finished run, as distillation, samplers and fine-tuning see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainer.dataset import Split


class Restored(Protocol):
    """A finished run, named by its folder or one of its checkpoints, and loaded on first use.

    Every property and method raises CheckpointError if the checkpoint cannot be read or does not
    fit.
    """

    @property
    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights by parameter name."""
        ...

    @property
    def model(self) -> nn.Module:
        """The run's own model with its weights loaded, on the current run's device."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean [C] by which its inputs are standardised, for pixels in [0, 1]."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation [C] by which its inputs are divided."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its training images: C, H, W; of texts their most words."""
        ...

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The words of its texts, in the order of their word ids; empty for images."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class names, in the order of its outputs."""
        ...

    def features(self, split: Split) -> Tensor:
        """Return inputs [n, d] of its last linear layer for n examples of a split, on the CPU."""
        ...


# (reference, the setting that gives it) → the run. Raises ConfigError if there is none.
Restore = Callable[[str, str], Restored]
