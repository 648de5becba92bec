"""Base of the data sets whose images are a person's own files, of any mode and size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trainer.core.errors import ConfigError, complain
from trainer.core.ranges import within
from trainer.dataset.base import Dataset, Split
from trainer.dataset.shared.auto_size import auto_side, first_size
from trainer.dataset.shared.cache import Cache, folder_within, standard_folder
from trainer.dataset.shared.decode import ImageSource, colour
from trainer.dataset.shared.image_files import ImageFiles
from trainer.dataset.shared.letterbox import MAX_PIXELS, Fit
from trainer.dataset.shared.packed import PackedImages, Packing, UncutPacked
from trainer.dataset.shared.uncut_files import UncutFiles

KINDS = {  # by whether they are packed, and stored uncut
    (False, False): ImageFiles,
    (False, True): UncutFiles,
    (True, False): PackedImages,
    (True, True): UncutPacked,
}


@dataclass(kw_only=True)
class FileDataset(Dataset):
    """Every image is converted to `channels` channels and to `size`.

    `fit=cover` scales it to cover the size, then crops; `pad` scales it to fit in, on the
    background; `auto` is pad where images have boxes, otherwise cover. `decode=exact` takes Pillow
    for all files; `fast` reads most JPEG files faster, with slightly other pixels: see
    trainer.dataset.shared.fast_decode. See ImageFolder for the other settings.

    With `crop` the model sees a part of so many pixels: where an augmentation has cut it out, that
    one; otherwise the middle.

    `fit=uncut` keeps the aspect ratio, and nothing is cut off before an augmentation of a `size`,
    the first, cuts its piece out. `size` is then the short side; auto and null leave images as
    their files have them. Evaluation takes the middle: of height and width `crop`, of images that
    are scaled to cover `crop / crop_ratio`.
    """

    size: int | list[int] | str | None = "auto"
    fit: Literal["auto", "cover", "pad", "uncut"] = "auto"
    channels: int = 3
    background: str | list[int] | None = None
    crop: int | list[int] | None = None
    crop_ratio: float = 0.875
    decode: Literal["exact", "fast"] = "exact"
    corrupt: Literal["raise", "skip"] = "raise"
    cache: str | None = "auto"
    warn: Callable[[str], None] = complain

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels not in (1, 3):
            raise ValueError(f"dataset.channels must be 1 or 3, got {self.channels}")
        sides = self.size if isinstance(self.size, list) else [self.size]
        if self.size not in ("auto", None) and not all(type(s) is int and s > 0 for s in sides):
            raise ValueError(
                f"dataset.size must be auto, a side or [height, width], got {self.size}"
            )
        if len(sides) not in (1, 2):
            raise ValueError(f"dataset.size must be a side or [height, width], got {self.size}")
        if self.size not in ("auto", None) and int(sides[0]) * int(sides[-1]) > MAX_PIXELS:  # pyright: ignore
            raise ValueError(f"dataset.size={self.size} is more than {MAX_PIXELS:,} pixels")
        crops = self.crop if isinstance(self.crop, list) else [self.crop]
        if self.crop is not None and not (
            len(crops) in (1, 2) and all(type(side) is int and side > 0 for side in crops)
        ):
            raise ValueError(
                f"dataset.crop must be null, a side or [height, width], got {self.crop}"
            )
        within("dataset.crop_ratio", self.crop_ratio, "(0, 1]")
        if self.fit == "uncut":
            self.check_uncut()
        self.colour = colour(self.background)
        folder = standard_folder() if self.cache == "auto" else None
        if self.cache not in (None, "auto"):
            folder = folder_within(self.cache)
        self.file_cache = Cache(folder, self.warn)

    def check_uncut(self) -> None:
        """Raise ValueError for settings without which `fit=uncut` has no meaning."""
        if self.crop is None:
            raise ValueError(
                "dataset.fit=uncut needs dataset.crop, the size that the model sees, such as 224"
            )
        if isinstance(self.size, list):
            raise ValueError(
                f"dataset.size={self.size} would fix the aspect ratio, which dataset.fit=uncut "
                "keeps; give the short side, or null for the size of the files"
            )
        if isinstance(self.size, int) and self.size < max(self.model_size):
            raise ValueError(
                f"dataset.size={self.size} is the short side under dataset.fit=uncut, and smaller "
                f"than dataset.crop={self.crop}; raise it, or set it to null"
            )
        if self.model_size[0] * self.model_size[1] > MAX_PIXELS * self.crop_ratio**2:
            raise ValueError(
                f"dataset.crop={self.crop} with dataset.crop_ratio={self.crop_ratio:g} is the "
                f"middle of more than {MAX_PIXELS:,} pixels"
            )

    @property
    def model_size(self) -> tuple[int, int]:
        """Height and width of the setting `crop`. Raises ValueError without one."""
        if self.crop is None:
            raise ValueError("dataset.crop is not set")
        sides = self.crop if isinstance(self.crop, list) else [self.crop]
        return int(sides[0]), int(sides[-1])

    @property
    def boxed(self) -> bool:
        """Whether the labels are boxes."""
        return False

    @property
    def way(self) -> Fit:
        """How images are brought to the size, in evaluation if they are stored uncut."""
        if self.fit == "auto":
            return "pad" if self.boxed else "cover"
        return "cover" if self.fit == "uncut" else self.fit

    def image_size(self, paths: Sequence[ImageSource]) -> tuple[int, int]:
        """Height and width of the decoded images: `size`, or by the files. Raises DataError.

        Under `fit=uncut` those of what evaluation takes its middle from.
        """
        if self.fit == "uncut":
            height, width = self.model_size
            return round(height / self.crop_ratio), round(width / self.crop_ratio)
        if self.size is None:
            return first_size(paths, skip=self.corrupt == "skip")
        if self.size == "auto":
            side = auto_side(paths)
            return side, side
        sides = self.size if isinstance(self.size, list) else [self.size]
        return int(sides[0]), int(sides[-1])

    def cut_to(self, train: Split) -> tuple[int, int] | None:
        """The setting `crop`. Raises ConfigError for smaller images, and labels with places."""
        if self.crop is None:
            return None
        height, width = self.model_size
        _, *stored = train.images.shape
        if height > stored[0] or width > stored[1]:
            raise ConfigError(
                f"dataset.crop={height}x{width} is larger than the images, "
                f"{stored[0]}x{stored[1]}; raise dataset.size, or set dataset.crop=null"
            )
        if train.target not in ("class", "multilabel", "vector"):
            raise ConfigError(
                f"dataset.crop={height}x{width} would cut images but not their labels, which are "
                f"{'boxes' if train.target == 'boxes' else train.target + 's'}; set "
                f"{'dataset.fit=auto ' if self.fit == 'uncut' else ''}dataset.crop=null"
            )
        return height, width

    def decided(self, size: tuple[int, int]) -> dict[str, int]:
        """The settings that the files have decided, for Raw."""
        return {"size": size[0]} if self.size == "auto" and self.fit != "uncut" else {}

    def images_of(
        self, paths: Sequence[str] | Packing, wanted: np.ndarray, size: tuple[int, int]
    ) -> tuple[ImageFiles, np.ndarray]:
        """The images of files, or of a packing, and which of the files they are, bool [M].

        Under `corrupt=skip` those `wanted`, bool [M], that cannot be read are left out.
        """
        settings: dict[str, Any] = {
            "background": self.colour,
            "turn": not self.boxed,  # boxes are places in the stored image
            "way": self.way,
            "fast": self.decode == "fast",
        }
        uncut = self.fit == "uncut"
        if uncut:
            settings |= {"short": self.size if isinstance(self.size, int) else None}
        kind = KINDS[isinstance(paths, Packing), uncut]
        images = kind(paths, size, self.channels, self.file_cache, **settings)  # pyright: ignore
        if self.corrupt == "raise":
            return images, np.ones(len(paths), bool)
        readable = ~wanted
        readable[wanted] = images.select(wanted).readable()
        return images.without_skipped(readable), readable
