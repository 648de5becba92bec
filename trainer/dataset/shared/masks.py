"""Images with masks in files, both brought to one size in the same way."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.core.ranges import within
from trainer.dataset.base import Split
from trainer.dataset.shared.decode import fit, open_image
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.torchvision import TorchvisionDataset

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(kw_only=True)
class MaskDataset(TorchvisionDataset):
    """RGB images of `size` x `size`: scaled to cover it, then centre-cropped.

    Images are scaled bilinearly and decoded when read. Masks are scaled by nearest neighbour and
    decoded at the start, all of them.
    """

    size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        within("dataset.size", self.size, "[1, inf)")

    def split(self, images: Sequence[str | Path], labels: Tensor) -> Split:
        """A split of all images and their labels [M] or masks [M, H, W]."""
        size = self.size, self.size
        files = ImageFiles(images, size, 3, turn=False)  # as the masks, which have no EXIF record
        return Split(files, labels, torch.arange(len(files)))

    def masks(self, paths: Sequence[str | Path]) -> Tensor:
        """Decode masks uint8 [M, H, W] from grey or palette images whose pixels are class ids."""
        out = torch.empty(len(paths), self.size, self.size, dtype=torch.uint8)

        def decode_row(row: int) -> None:
            out[row] = decode_mask(paths[row], self.size)

        with ThreadPoolExecutor() as pool:
            list(pool.map(decode_row, range(len(paths))))
        return out


def decode_mask(path: str | Path, size: int) -> Tensor:
    """The mask as uint8 [H, W]. Raises DataError naming the file."""
    with open_image(path) as image:
        if image.mode not in ("L", "P"):
            raise ValueError(f"a mask must have one byte per pixel, got mode {image.mode}")
        return torch.from_numpy(np.array(fit(image, size, size, Image.Resampling.NEAREST)))
