"""The rivals of bench_folder.py: each decodes the images of a folder, or trains on them."""

import shutil
import time
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from photo_rivals import PHOTO_RIVALS, Padded, Stored
from rivals import Rival, Runner
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as Folder
from torchvision.transforms import PILToTensor

from trainer.core.plan import Plan
from trainer.dataset.image_folder import ImageFolder
from trainer.loader.memory import pixels_of
from trainer.loader.stream import Stream
from trainer.model.resnet_cifar import ResnetCifar

CPU = torch.device("cpu")
SIDE, CLASSES, DEPTH, WIDTH = 32, 10, 8, 8
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
LR, MOMENTUM, EPOCHS = 0.01, 0.9, 100
LOG_EVERY = 50  # steps


def network() -> ResnetCifar:
    """Build the network that all rivals train."""
    return ResnetCifar(shape=(3, SIDE, SIDE), outputs=CLASSES, depth=DEPTH, width=WIDTH)


class BareList(Rival):
    """torchvision's ImageFolder lists its files."""

    def prepare(self) -> None:
        """Nothing is prepared."""

    def epoch(self) -> int:
        """List the files."""
        return len(Folder(self.setting.root).samples)


class OwnList(BareList):
    """The runner's image_folder lists its files."""

    def epoch(self) -> int:
        """List the files: classes, splits, labels."""
        return len(ImageFolder(root=self.setting.root, cache=None, size=SIDE).load().train)


class BareDecode(Rival):
    """The usual DataLoader, without training."""

    def prepare(self) -> None:
        """Build the loader; its workers persist."""
        many = self.setting.workers > 0
        self.loader = DataLoader(
            Folder(self.setting.root, PILToTensor()),
            batch_size=self.setting.batch_size,
            shuffle=True,
            num_workers=self.setting.workers,
            persistent_workers=many,
            prefetch_factor=4 if many else None,
        )

    def epoch(self) -> int:
        """Decode every image once."""
        return sum(len(images) for images, _ in self.loader)


class StreamDecode(Rival):
    """loader=stream, without training."""

    def prepare(self) -> None:
        """Open its feed."""
        data = ImageFolder(root=self.setting.root, cache=None)
        self.split = data.load().train
        self.feed = Stream(workers=self.setting.workers).open(self.split, CPU)

    def epoch(self) -> int:
        """Decode every image once."""
        order = torch.randperm(len(self.split))
        plan = Plan.of(self.split.ids[order], self.setting.batch_size)
        return sum(len(batch.images) for batch in self.feed.batches(plan))


class Opened(Rival):
    """The runner's data set, from the command to pixels in memory, decoded by one process."""

    parallel, keeps_cache = False, False

    def prepare(self) -> None:
        """Open it once, so that a cache that is kept exists."""
        self.epoch()

    def epoch(self) -> int:
        """Open the data set and decode it, or read its cache."""
        cache = self.folder / "cache"
        if not self.keeps_cache:
            shutil.rmtree(cache, ignore_errors=True)
        data = ImageFolder(root=self.setting.root, cache=str(cache), test_fraction=0.0).open(0)
        workers = self.setting.workers if self.parallel else 0
        return len(pixels_of(data.train.images, workers))


class OpenedInParallel(Opened):
    """Decoded by the loader's processes."""

    parallel = True


class OpenedAgain(Opened):
    """Read from the cache of an earlier run."""

    keeps_cache = True


class Bare(Rival):
    """A loop written by hand."""

    def prepare(self) -> None:
        """Build the network and the fused optimizer."""
        self.model = network()
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=LR, momentum=MOMENTUM, fused=True
        )
        self.mean, self.std = (torch.tensor(s)[:, None, None] for s in (MEAN, STD))

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
        """Train on batches of uint8 images [B, 3, H, W] and labels [B]; return the images seen."""
        seen = 0
        for images, labels in batches:
            pixels = images.float().mul_(1 / 255).sub_(self.mean).div_(self.std)
            loss = F.cross_entropy(self.model(pixels), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seen += len(images)
        return seen


class BareMemory(Bare):
    """The loop over tensors in memory."""

    def prepare(self) -> None:
        """Read pixels [n, 3, 32, 32] and labels [n]."""
        super().prepare()
        split = ImageFolder(root=self.setting.root, cache=None).load().train
        self.pixels, self.labels = pixels_of(split.images, 0), split.labels

    def epoch(self) -> int:
        """Train an epoch."""
        order = torch.randperm(len(self.labels)).split(self.setting.batch_size)
        return self.train((self.pixels[ids], self.labels[ids]) for ids in order)


class BareStream(BareDecode, Bare):
    """The loop over the usual DataLoader."""

    def prepare(self) -> None:
        """Build loader, network and optimizer."""
        BareDecode.prepare(self)
        Bare.prepare(self)

    def epoch(self) -> int:
        """Train an epoch."""
        return self.train(self.loader)


class Timm(Rival):
    """timm's parts, assembled as in its training script."""

    def prepare(self) -> None:
        """Build loader, network, optimizer, scheduler and loss."""
        from timm.data import ImageDataset, create_loader  # pyright: ignore
        from timm.optim import create_optimizer_v2
        from timm.scheduler import create_scheduler_v2

        self.loader = create_loader(
            ImageDataset(self.setting.root),
            input_size=(3, SIDE, SIDE),
            batch_size=self.setting.batch_size,
            is_training=True,
            no_aug=True,
            mean=MEAN,
            std=STD,
            num_workers=self.setting.workers,
            device=CPU,
        )
        self.model = network()
        self.optimizer = create_optimizer_v2(
            self.model, opt="momentum", lr=LR, momentum=MOMENTUM, weight_decay=0.0
        )
        scheduler, _ = create_scheduler_v2(
            self.optimizer, num_epochs=EPOCHS, updates_per_epoch=len(self.loader)
        )
        assert scheduler is not None  # noqa: S101
        self.scheduler = scheduler
        self.loss = torch.nn.CrossEntropyLoss()
        self.number = 0

    def epoch(self) -> int:
        """Train an epoch."""
        from timm.utils import AverageMeter

        losses, batch_time, data_time = AverageMeter(), AverageMeter(), AverageMeter()
        updates, seen = self.number * len(self.loader), 0
        self.model.train()
        end = time.time()
        for i, (images, labels) in enumerate(self.loader):
            data_time.update(time.time() - end)
            loss = self.loss(self.model(images), labels)
            losses.update(loss.item(), len(images))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            updates, seen = updates + 1, seen + len(images)
            batch_time.update(time.time() - end)
            if i % LOG_EVERY == 0:
                self.progress = f"{i}: {losses.avg:.4f} {batch_time.avg:.3f} {data_time.avg:.3f}"
            self.scheduler.step_update(num_updates=updates, metric=losses.avg)
            end = time.time()
        self.number += 1
        self.scheduler.step(self.number)
        return seen


class Memory(Runner):
    """The runner with loader=memory."""

    loader = "memory"

    def overrides(self) -> list[str]:
        """Give it the same images, network and optimizer."""
        setting = self.setting
        return [
            *("dataset=image_folder", f"dataset.root={setting.root}", "dataset.val_fraction=0"),
            *("dataset.test_fraction=0", f"dataset.cache={self.folder / 'cache'}"),
            *(f"loader={self.loader}", f"loader.workers={setting.workers}"),
            *("model=resnet_cifar", f"model.depth={DEPTH}", f"model.width={WIDTH}"),
            *("optimizer=sgd", f"optimizer.lr={LR}", f"optimizer.momentum={MOMENTUM}"),
        ]


class Streamed(Memory):
    """The runner with loader=stream."""

    loader = "stream"


RACES: dict[str, dict[str, type[Rival]]] = {
    "list": {"bare": BareList, "runner": OwnList},
    "decode": {"bare": BareDecode, "stream": StreamDecode},
    "photos": PHOTO_RIVALS,
    "light photos": PHOTO_RIVALS,
    "large photos": PHOTO_RIVALS,
    "large light photos": PHOTO_RIVALS,
    "real photos": PHOTO_RIVALS,
    "enlarged photos": PHOTO_RIVALS,
    "stored photos": {"ragged": Stored, "padded": Padded},
    "open": {"serial": Opened, "first": OpenedInParallel, "second": OpenedAgain},
    "train": {
        "bare memory": BareMemory,
        "bare decode": BareStream,
        "timm": Timm,
        "memory": Memory,
        "stream": Streamed,
    },
}
