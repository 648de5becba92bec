"""Shift the colours along the data's principal axes (Krizhevsky et al. 2012, sec. 4.1).

Adds Σ a_i λ_i v_i to each pixel, with a ~ N(0, σ²) per image. λ are the eigenvalues (not their
square roots) and v the eigenvectors of the covariance of the training set's RGB values in [0, 1].
"""

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation
from trainer.core.errors import ConfigError
from trainer.core.ranges import within
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.split import Split
from trainer.dataset.shared.statistics import STATISTICS_CHUNK, STATISTICS_SAMPLE

GROUP = "augmentation.pca_jitter"


class PcaJitter(Augmentation):
    """Shifts the colour of each image at random, then clips to [0, 1].

    `eigenvalues` and `eigenvectors` (columns, as in published tables) are computed from the
    training set if null. `standardize` uses the correlation matrix instead of the covariance, and
    shifts in units of the channels' standard deviations.
    """

    def __init__(
        self,
        *,
        sigma: float = 0.1,
        standardize: bool = False,
        eigenvalues: tuple[float, float, float] | None = None,
        eigenvectors: list[list[float]] | None = None,
    ) -> None:
        within(f"{GROUP}.sigma", sigma, "[0, inf)")
        if (eigenvalues is None) != (eigenvectors is None):
            raise ValueError(f"{GROUP}.eigenvalues and {GROUP}.eigenvectors must be set together")
        self.sigma, self.standardize = sigma, standardize
        self.axes: Tensor | None = None  # [3, 3], column i is λ_i v_i
        if eigenvalues is not None and eigenvectors is not None:
            if [len(row) for row in eigenvectors] != [3, 3, 3]:
                raise ValueError(f"{GROUP}.eigenvectors must be 3 rows of 3, got {eigenvectors}")
            if standardize:
                raise ValueError(f"{GROUP}.standardize=true needs {GROUP}.eigenvalues=null")
            self.axes = torch.tensor(eigenvectors) * torch.tensor(eigenvalues)

    def prepare(self, split: Split) -> None:
        """Compute the principal axes of the split. Raises ConfigError for images not in RGB."""
        channels = split.images.shape[0]
        if channels != 3:
            raise ConfigError(f"{GROUP} needs RGB images, got {channels} channel(s)")
        if self.axes is None:
            self.axes = principal_axes(covariance(split), standardize=self.standardize)

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Augmented images [B, 3, H, W]."""
        if self.axes is None:
            raise RuntimeError(
                f"{GROUP}.eigenvalues=null needs the training set: call prepare(split) first"
            )
        self.axes = self.axes.to(images.device, non_blocking=True)
        shift = self.sigma * torch.stack([draws.normal() for _ in range(3)], dim=1) @ self.axes.T
        return (images + shift[:, :, None, None]).clamp_(0, 1)


def covariance(split: Split) -> Tensor:
    """Covariance [3, 3] float64 of RGB values in [0, 1], over evenly spaced images of the split."""
    sample = torch.linspace(0, len(split) - 1, min(len(split), STATISTICS_SAMPLE)).long()
    number = total = square = torch.zeros((), dtype=torch.float64)
    for ids in split.ids[sample].split(STATISTICS_CHUNK):
        pixels = split.images.read(ids.tolist()).double().div(255).transpose(0, 1).flatten(1)
        number = number + pixels.shape[1]
        total = total + pixels.sum(1)
        square = square + pixels @ pixels.T
    mean = total / number
    return square / number - mean[:, None] * mean


def principal_axes(covariance: Tensor, *, standardize: bool) -> Tensor:
    """Principal axes [3, 3] float32 of a covariance [3, 3]: column i is λ_i v_i."""
    deviations = covariance.diagonal().clamp(min=1e-12).sqrt() if standardize else torch.ones(3)
    scale = deviations[:, None].double()
    values, vectors = torch.linalg.eigh(covariance / (scale * scale.T))
    return (scale * vectors * values).float()
