"""A finished run as distillation, samplers and fine-tuning see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainer.dataset import Split


class Restored(Protocol):
    """A finished run, named by its folder or by one of its checkpoints. Loaded when first used.

    Each member raises CheckpointError where the checkpoint cannot be read or does not fit.
    """

    @property
    def weights(self) -> dict[str, Tensor]:
        """The checkpoint's weights by parameter name."""
        ...

    @property
    def model(self) -> nn.Module:
        """The run's own model with these weights, on the current run's device."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of each channel, pixels in [0, 1], by which its inputs are standardised."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """The deviation of each channel."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Its class names, in the order of its outputs."""
        ...

    def features(self, split: Split) -> Tensor:
        """Inputs [n, d] of its last linear layer for the n examples of a split, on the CPU."""
        ...


# A reference and the setting that gives it → the run. Raises ConfigError where there is none.
Restore = Callable[[str, str], Restored]
