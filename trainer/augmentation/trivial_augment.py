"""TrivialAugment (Müller and Hutter 2021, https://arxiv.org/abs/2103.10158), wide space.

torchvision's `TrivialAugmentWide`.
"""

from torch import Tensor

from trainer.augmentation.shared.operation import magnitudes
from trainer.augmentation.shared.policy import FOURTEEN, Interpolation, Policy, indices
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom


class TrivialAugment(Policy):
    """Applies one of fourteen operations, at random, to each image, at a random magnitude."""

    def __init__(
        self,
        *,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float = 0.0,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        within("augmentation.trivial_augment.num_magnitude_bins", num_magnitude_bins, "[2, inf)")
        self.bins = num_magnitude_bins
        self.choices = indices(FOURTEEN)
        self.table = magnitudes(
            self.bins, shear=0.99, shift=(32.0, 32.0), degrees=135, factor=0.99, bits=(8, 6)
        )

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        host = draws.on_host()
        operation = self.choices[host.integer(0, len(self.choices))]
        magnitude = self.table[operation, host.integer(0, self.bins)]
        return self.apply(images, operation, magnitude, host.chance(0.5))
