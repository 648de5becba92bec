"""The rivals of bench_folder.py that read photographs, in one process.

Their speed is images per second of the process's own time, so that other processes count less.
"""

import time
from typing import Literal

import torch
from rivals import Rival, start_as_command_line
from torchvision.datasets import ImageFolder as Folder
from torchvision.transforms import Compose, PILToTensor, RandomResizedCrop

from trainer.augmentation.random_resized_crop import RandomResizedCrop as OwnCrop
from trainer.core.plan import Plan
from trainer.core.seed import ExampleRandom
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.uncut_files import UncutFiles
from trainer.dataset.shared.windows import Cut, EpochCut
from trainer.loader.memory import Memory

PHOTO = 224  # side of what a model sees of a photograph
SHORT = 400  # short side of one that is stored uncut

Decode = Literal["exact", "fast"]


class PhotoRival(Rival):
    """Reads every photograph of a folder, `rounds` times an epoch."""

    rounds = 0

    def speed(self) -> float:
        """Run an epoch; return images per second of the process's time."""
        began = time.process_time()
        images = self.epoch()
        return images / (time.process_time() - began)


class Recipe(PhotoRival):
    """torchvision's recipe for photographs, in one process: Pillow, a random piece, resized."""

    def prepare(self) -> None:
        """Build the folder."""
        self.folder_of = Folder(
            self.setting.root, Compose([RandomResizedCrop(PHOTO), PILToTensor()])
        )

    def epoch(self) -> int:
        """Read every photograph."""
        return sum(len(self.folder_of[i][0]) > 0 for i in range(len(self.folder_of)))


class Exact(PhotoRival):
    """The runner's images, scaled and cut from the middle: dataset.decode=exact."""

    decode: Decode = "exact"

    def prepare(self) -> None:
        """Open the folder."""
        start_as_command_line()
        data = ImageFolder(root=self.setting.root, cache=None, size=PHOTO, decode=self.decode)
        self.images = data.load().train.images

    def epoch(self) -> int:
        """Read every photograph."""
        return len(self.images.read(range(len(self.images))))


class Fast(Exact):
    """dataset.decode=fast."""

    decode = "fast"


class Pieces(PhotoRival):
    """The runner's random pieces of the originals, which loader=stream cuts: dataset.fit=uncut."""

    decode: Decode = "exact"
    short: int | None = None

    def prepare(self) -> None:
        """Open the folder."""
        start_as_command_line()
        data = ImageFolder(
            root=self.setting.root,
            cache=None,
            size=self.short,
            fit="uncut",
            crop=PHOTO,
            decode=self.decode,
        )
        self.split = data.load().train
        self.number = len(self.split)
        self.crop = OwnCrop(size=PHOTO)

    def epoch(self) -> int:
        """Cut a piece out of every photograph."""
        self.rounds += 1
        rows, images = list(range(self.number)), self.split.images
        assert isinstance(images, UncutFiles)  # noqa: S101
        return len(images.pieces(rows, Cut(self.crop, 0, self.rounds, rows)))


class FastPieces(Pieces):
    """dataset.decode=fast."""

    decode = "fast"


class Stored(Pieces):
    """The runner's random pieces of images stored uncut: loader=memory, dataset.size=400."""

    short = SHORT

    def prepare(self) -> None:
        """Decode them."""
        super().prepare()
        self.feed = Memory(workers=0).open(self.split, torch.device("cpu"))

    def epoch(self) -> int:
        """Cut a piece out of every photograph."""
        self.rounds += 1
        plan = Plan.of(self.split.ids, self.number)
        cut = EpochCut(self.crop, 0, self.rounds, lambda _: torch.arange(self.number))
        return sum(len(batch.images) for batch in self.feed.batches(plan, cut=cut))


class Padded(Stored):
    """The same of images that are padded to one size, by the augmentation on the whole batch."""

    def prepare(self) -> None:
        """Decode and pad them."""
        Pieces.prepare(self)
        images = self.split.images
        assert isinstance(images, UncutFiles)  # noqa: S101
        self.sizes = torch.from_numpy(images.stored_sizes).long()
        height, width = self.sizes.amax(0).tolist()
        self.pixels = torch.zeros(self.number, 3, height, width, dtype=torch.uint8)
        for i, (own, other) in enumerate(self.sizes.tolist()):
            self.pixels[i, :, :own, :other] = images.picture(i)

    def epoch(self) -> int:
        """Cut a piece out of every photograph."""
        self.rounds += 1
        draws = ExampleRandom(0, self.rounds, torch.arange(self.number))
        windows = self.crop.windows(draws, *self.sizes.unbind(1))
        boxes = torch.tensor([(w.top, w.left, w.height, w.width) for w in windows]).unbind(1)
        images = self.pixels.float().mul_(1 / 255)
        return len(self.crop.move(images, boxes, nearest=False, fill=0.0))  # pyright: ignore


PHOTO_RIVALS: dict[str, type[Rival]] = {
    "recipe": Recipe,
    "exact": Exact,
    "fast": Fast,
    "pieces": Pieces,
    "fast pieces": FastPieces,
    "stored": Stored,
}
