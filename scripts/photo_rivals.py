"""The rivals of bench_folder.py that read photographs, in one process."""

from typing import Literal

from rivals import Rival, start_as_command_line
from torchvision.datasets import ImageFolder as Folder
from torchvision.transforms import Compose, PILToTensor, RandomResizedCrop

from trainer.dataset.image_folder import ImageFolder

PHOTO = 224  # side of what a model sees of a photograph


class Recipe(Rival):
    """torchvision's recipe for photographs, in one process: Pillow, a random piece, resized."""

    def prepare(self) -> None:
        """Build the folder."""
        self.folder_of = Folder(
            self.setting.root, Compose([RandomResizedCrop(PHOTO), PILToTensor()])
        )

    def epoch(self) -> int:
        """Read every photograph."""
        return sum(len(self.folder_of[i][0]) > 0 for i in range(len(self.folder_of)))


class Exact(Rival):
    """The runner's images, scaled and cut from the middle: dataset.decode=exact."""

    decode: Literal["exact", "fast"] = "exact"

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
