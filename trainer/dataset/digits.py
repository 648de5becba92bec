"""Optical recognition of handwritten digits: 1,797 images of 8x8, included in the package.

E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository, CC BY 4.0,
https://doi.org/10.24432/C50P49; the test part, as scikit-learn bundles it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trainer.dataset.base import Dataset, Pixels, Raw, Split

FILE = Path(__file__).with_name("digits.npz")


@dataclass(kw_only=True)
class Digits(Dataset):
    """The default data set: no download, trains in seconds on a CPU."""

    def load(self) -> Raw:
        """Load all images, their grey levels 0 to 16 scaled to 0 to 255."""
        with np.load(FILE, allow_pickle=False) as file:
            pixels = torch.from_numpy(np.round(file["images"] * (255 / 16)).astype(np.uint8))
            labels = torch.from_numpy(file["labels"].astype(np.int64))
        train = Split(Pixels(pixels[:, None]), labels, torch.arange(len(labels)))
        return Raw(train, None, tuple("0123456789"))
