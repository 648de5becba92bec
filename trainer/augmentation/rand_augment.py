"""RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719), sec. 3; as torchvision's."""

from torch import Tensor

from trainer.augmentation.shared.policy import (
    FOURTEEN,
    Interpolation,
    Policy,
    indices,
    standard_magnitudes,
)
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom

GROUP = "augmentation.rand_augment"


class RandAugment(Policy):
    """Applies `num_ops` of fourteen operations, at random, to each image, all at one magnitude."""

    def __init__(
        self,
        *,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float = 0.0,
    ) -> None:
        super().__init__(interpolation=interpolation, fill=fill)
        within(f"{GROUP}.num_ops", num_ops, "[1, inf)")
        within(f"{GROUP}.num_magnitude_bins", num_magnitude_bins, "[2, inf)")
        within(f"{GROUP}.magnitude", magnitude, f"[0, {num_magnitude_bins})")
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.bins = num_magnitude_bins
        self.choices = indices(FOURTEEN)

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        host = draws.on_host()
        table = standard_magnitudes(self.bins, images)[:, self.magnitude]
        for _ in range(self.num_ops):
            operation = self.choices[host.integer(0, len(self.choices))]
            images = self.apply(images, operation, table[operation], host.chance(0.5))
        return images
