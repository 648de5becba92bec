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
from trainer.dataset.shared.image_files import UNREADABLE, ImageFiles, fit, open_image, unreadable
from trainer.dataset.shared.torchvision import TorchvisionDataset

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(kw_only=True)
class MaskDataset(TorchvisionDataset):
    """RGB images of `size` x `size`: scaled so that they cover it, then cut in the middle.

    Images are scaled bilinearly and decoded when they are read, masks by the nearest pixel and all
    decoded at the start.
    """

    size: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        within("dataset.size", self.size, "[1, inf)")

    def split(self, images: Sequence[str | Path], labels: Tensor) -> Split:
        """A whole source as a split."""
        files = ImageFiles(images, (self.size, self.size), 3)
        return Split(files, labels, torch.arange(len(files)))

    def masks(self, paths: Sequence[str | Path]) -> Tensor:
        """The masks uint8 [M, H, W] of files that hold class ids as grey or palette images."""
        out = torch.empty(len(paths), self.size, self.size, dtype=torch.uint8)

        def decode(row: int) -> None:
            out[row] = decode_mask(paths[row], self.size)

        with ThreadPoolExecutor() as pool:
            list(pool.map(decode, range(len(paths))))
        return out


def decode_mask(path: str | Path, size: int) -> Tensor:
    """The mask as uint8 [H, W]. Raises DataError that names the file."""
    with open_image(path) as image:
        if image.mode not in ("L", "P"):
            raise unreadable(path, ValueError(f"a mask holds one byte a pixel, not {image.mode}"))
        try:
            return torch.from_numpy(np.array(fit(image, size, size, Image.Resampling.NEAREST)))
        except UNREADABLE as error:
            raise unreadable(path, error) from error
