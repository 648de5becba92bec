"""The rivals of bench_loop.py: each trains epochs of one network on MNIST."""

import contextlib
import io
import logging
import time
import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from rivals import Rival, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

MEAN, STD = 0.1307, 0.3081
IMAGES = {"mlp": 60_000, "simple_cnn": 6_400}  # of an epoch


def network(name: str) -> nn.Module:
    """Build the same network as the runner's of that name."""
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1600, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


class Bare(Rival):
    """A hand-written loop over uint8 tensors in memory."""

    def prepare(self) -> None:
        """Read pixels [n, 1, 28, 28] and labels [n]; build network and optimizer."""
        data, images = MNIST(self.setting.root), self.setting.images
        device = self.setting.device
        self.pixels = data.data[:images, None].contiguous().to(device)
        self.labels = data.targets[:images].to(device)
        self.model = network(self.setting.model).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def epoch(self) -> int:
        """Train an epoch."""
        order = torch.randperm(len(self.labels), device=self.labels.device)
        for ids in order.split(self.setting.batch_size):
            self.step(ids)
        if self.labels.is_cuda:
            torch.cuda.synchronize()
        return self.setting.images

    def step(self, ids: Tensor) -> None:
        """Train on the images at positions `ids` [B]."""
        images = self.pixels[ids].float().mul_(1 / 255).sub_(MEAN).div_(STD)
        loss = F.cross_entropy(self.outputs(images), self.labels[ids])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def outputs(self, images: Tensor) -> Tensor:
        """The network's outputs for standardised images."""
        return self.model(images)


class BareHalf(Bare):
    """The same in bf16 and the channels-last layout."""

    def prepare(self) -> None:
        """Change the layout of the network."""
        super().prepare()
        self.model = self.model.to(memory_format=torch.channels_last)  # pyright: ignore

    def outputs(self, images: Tensor) -> Tensor:
        """Run the network under autocast."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.model(images.contiguous(memory_format=torch.channels_last)).float()


class Textbook(Rival):
    """The loop of the tutorials."""

    def prepare(self) -> None:
        """Build the data set, which yields image by image, the network and its optimizer."""
        data = MNIST(self.setting.root, transform=Compose([ToTensor(), Normalize(MEAN, STD)]))
        part = Subset(data, range(self.setting.images))
        self.loader = DataLoader(part, batch_size=self.setting.batch_size, shuffle=True)
        self.model = network(self.setting.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def epoch(self) -> int:
        """Train an epoch."""
        total = 0.0
        for images, labels in self.loader:
            loss = F.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()
        return self.setting.images


class Lightning(Textbook):
    """pytorch-lightning on the same DataLoader; one `fit` of one epoch, timed inside."""

    def epoch(self) -> int:
        """Train an epoch, keeping the time between the hooks at its start and end."""
        import lightning as pl
        from lightning.pytorch.loggers import TensorBoardLogger

        class Module(pl.LightningModule):
            def __init__(self, model: nn.Module) -> None:
                super().__init__()
                self.model = model

            def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
                images, labels = batch
                outputs = self.model(images)
                loss = F.cross_entropy(outputs, labels)
                self.log("loss", loss)
                self.log("accuracy", (outputs.argmax(1) == labels).float().mean())
                return loss

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return torch.optim.Adam(self.parameters(), lr=1e-3)

            def on_train_epoch_start(self) -> None:
                self.began = time.perf_counter()

            def on_train_epoch_end(self) -> None:
                self.seconds = time.perf_counter() - self.began

        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=TensorBoardLogger(str(self.folder)),
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
        )
        module = Module(self.model)
        trainer.fit(module, self.loader)
        self.seconds = module.seconds
        return self.setting.images

    def speed(self) -> float:
        """Images per second between those hooks: the start of `fit` does not count."""
        with quiet():
            return self.epoch() / self.seconds


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence lightning's tips and warnings."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class Trainer(Runner):
    """The runner with its defaults."""

    def overrides(self) -> list[str]:
        """Give it the same images and network."""
        setting = self.setting
        return [
            *("dataset=mnist", f"dataset.root={setting.root}", "dataset.val_fraction=0"),
            *(f"dataset.subset={setting.images}", f"model={setting.model}", *setting.overrides),
        ]


class TrainerHalf(Trainer):
    """The runner in bf16 and the channels-last layout."""

    def overrides(self) -> list[str]:
        """Add both to its settings."""
        return [*super().overrides(), "precision=bf16", "channels_last=true"]


RIVALS: dict[str, type[Rival]] = {
    "bare": Bare,
    "textbook": Textbook,
    "lightning": Lightning,
    "trainer": Trainer,
}
HALF: dict[str, type[Rival]] = {"bare_bf16": BareHalf, "trainer_bf16": TrainerHalf}
