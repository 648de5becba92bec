"""The rivals of bench_folder.py: each takes the images of a folder through a program."""

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder as Folder
from torchvision.transforms import PILToTensor

from trainer.__main__ import CONF, register
from trainer.cli.execute import make_run
from trainer.core.plan import Plan
from trainer.dataset.image_folder import ImageFolder
from trainer.loader.memory import pixels_of
from trainer.loader.stream import Stream
from trainer.model.resnet_cifar import ResnetCifar
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.memory import keep_freed_memory
from trainer.storage.run_folder import RunFolder
from trainer.training.reporter import Reporter

CPU = torch.device("cpu")
SIDE, CLASSES, DEPTH, WIDTH = 32, 10, 8, 8
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
LR, MOMENTUM, EPOCHS = 0.01, 0.9, 100
LOG_EVERY = 50  # steps


class Setting(NamedTuple):
    """What all rivals have in common."""

    root: str
    images: int
    batch_size: int
    workers: int
    folder: str  # of the rival's own


class Rival(ABC):
    """Takes some images through a program."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        torch.manual_seed(0)
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """What comes before the clock starts."""

    @abstractmethod
    def epoch(self) -> int:
        """Once through; the number of images."""

    def speed(self) -> float:
        """Images per second."""
        began = time.perf_counter()
        images = self.epoch()
        return images / (time.perf_counter() - began)


class BareDecode(Rival):
    """The usual DataLoader, alone."""

    def prepare(self) -> None:
        """Workers that live on."""
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
        """Once through."""
        return sum(len(images) for images, _ in self.loader)


class StreamDecode(Rival):
    """loader=stream, alone."""

    def prepare(self) -> None:
        """Its feed."""
        data = ImageFolder(root=self.setting.root, cache=None)
        self.split = data.load().train
        self.feed = Stream(workers=self.setting.workers).open(self.split, CPU)

    def epoch(self) -> int:
        """Once through."""
        order = torch.randperm(len(self.split))
        plan = Plan.of(self.split.ids[order], self.setting.batch_size)
        return sum(len(batch.images) for batch in self.feed.batches(plan))


class Opened(Rival):
    """The runner's data set opened, as far as pixels in memory."""

    workers, forgets = 0, True

    def prepare(self) -> None:
        """A run before, where what it kept stays."""
        self.epoch()

    def epoch(self) -> int:
        """From the command to pixels."""
        cache = Path(self.setting.folder) / "cache"
        if self.forgets:
            shutil.rmtree(cache, ignore_errors=True)
        data = ImageFolder(root=self.setting.root, cache=str(cache), test_fraction=0.0).open(0)
        workers = self.setting.workers if self.workers else 0
        return len(pixels_of(data.train.images, workers))


class OpenedInParallel(Opened):
    """With the loader's processes."""

    workers = 1


class OpenedAgain(Opened):
    """With what a run before has kept."""

    forgets = False


class Bare(Rival):
    """A loop by hand."""

    def prepare(self) -> None:
        """The network and the fused optimizer."""
        self.model = ResnetCifar(shape=(3, SIDE, SIDE), outputs=CLASSES, depth=DEPTH, width=WIDTH)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=LR, momentum=MOMENTUM, fused=True
        )
        self.mean, self.std = (torch.tensor(s)[:, None, None] for s in (MEAN, STD))

    def train(self, batches: Iterable[tuple[Tensor, Tensor]]) -> int:
        """Train on batches of uint8 images."""
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
    """Over tensors."""

    def prepare(self) -> None:
        """Pixels [n, 3, 32, 32] and labels [n]."""
        super().prepare()
        split = ImageFolder(root=self.setting.root, cache=None).load().train
        self.pixels, self.labels = pixels_of(split.images, 0), split.labels

    def epoch(self) -> int:
        """Train an epoch."""
        order = torch.randperm(len(self.labels)).split(self.setting.batch_size)
        return self.train((self.pixels[ids], self.labels[ids]) for ids in order)


class BareStream(BareDecode, Bare):
    """Over the usual DataLoader."""

    def prepare(self) -> None:
        """Both."""
        BareDecode.prepare(self)
        Bare.prepare(self)

    def epoch(self) -> int:
        """Train an epoch."""
        return self.train(self.loader)


class Timm(Rival):
    """timm's parts put together as in its script."""

    def prepare(self) -> None:
        """Loader, network, optimizer, scheduler, loss."""
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
        self.model = ResnetCifar(shape=(3, SIDE, SIDE), outputs=CLASSES, depth=DEPTH, width=WIDTH)
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
                self.said = f"{i}: {losses.avg:.4f} {batch_time.avg:.3f} {data_time.avg:.3f}"
            self.scheduler.step_update(num_updates=updates, metric=losses.avg)
            end = time.time()
        self.number += 1
        self.scheduler.step(self.number)
        return seen


class Trainer(Rival):
    """The runner, as the command line would make it."""

    loader = "memory"

    def prepare(self) -> None:
        """All parts of a run."""
        keep_freed_memory()
        register()
        setting, folder = self.setting, Path(self.setting.folder)
        overrides = [
            *("dataset=image_folder", f"dataset.root={setting.root}", "dataset.val_fraction=0"),
            *("dataset.test_fraction=0", f"dataset.cache={folder / 'cache'}", "device=cpu"),
            *(f"loader={self.loader}", f"loader.workers={setting.workers}", "quiet=true"),
            *("model=resnet_cifar", f"model.depth={DEPTH}", f"model.width={WIDTH}"),
            *("optimizer=sgd", f"optimizer.lr={LR}", f"optimizer.momentum={MOMENTUM}"),
            *(f"batch_size={setting.batch_size}", f"epochs={EPOCHS}", "checkpoint.every=100ep"),
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = OmegaConf.to_container(compose("config", overrides), resolve=True)
        console = Console(quiet=True)
        run = make_run(config, RunFolder(folder / "run"), console, overrides, [str(CONF)])  # pyright: ignore
        run.folder.path.mkdir()
        log = Log(run.folder.path, run.console.warn)
        self.fit = assemble(
            run, run.folder, Reporter(log, run.console, run.data, run.epochs), run.signals
        )

    def epoch(self) -> int:
        """Train an epoch."""
        before = self.fit.progress.examples
        self.fit.epoch()
        return self.fit.progress.examples - before


class TrainerStream(Trainer):
    """With loader=stream."""

    loader = "stream"


RACES: dict[str, dict[str, type[Rival]]] = {
    "decode": {"bare": BareDecode, "stream": StreamDecode},
    "open": {"serial": Opened, "first": OpenedInParallel, "second": OpenedAgain},
    "train": {
        "bare memory": BareMemory,
        "bare decode": BareStream,
        "timm": Timm,
        "memory": Trainer,
        "stream": TrainerStream,
    },
}
