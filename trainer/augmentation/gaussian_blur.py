"""Gaussian blur: torchvision's `GaussianBlur`."""

from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.augmentation.shared.kernel.filter import gaussian_blur
from trainer.augmentation.shared.settings import Range, interval
from trainer.core.errors import ConfigError
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split

GROUP = "augmentation.gaussian_blur"


class GaussianBlur(Augmentation):
    """Blurs each image with a random standard deviation `sigma` in pixels, mirroring the border."""

    def __init__(self, *, kernel_size: int = 5, sigma: Range = (0.1, 2.0)) -> None:
        within(f"{GROUP}.kernel_size", kernel_size, "[1, inf)")
        if kernel_size % 2 == 0:
            raise ValueError(f"{GROUP}.kernel_size must be odd, got {kernel_size}")
        self.kernel_size = kernel_size
        self.sigma = interval(f"{GROUP}.sigma", sigma, "(0, inf)")

    def prepare(self, split: Split) -> None:
        """Raise ConfigError for images too small to mirror their border."""
        most = 2 * min(split.images.shape[1:]) - 1
        if self.kernel_size > most:
            raise ConfigError(
                f"{GROUP}.kernel_size={self.kernel_size} is too large for images of "
                f"{split.images.shape[1]}×{split.images.shape[2]}; use at most {most}"
            )

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, C, H, W]."""
        return gaussian_blur(images, draws.uniform(*self.sigma), self.kernel_size)
