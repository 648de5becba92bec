"""How fast the runner trains, next to the loop that one would write by hand and to others.

    python scripts/bench_loop.py --root ../shared/data          # about twenty minutes
    python scripts/bench_loop.py --models simple_cnn --threads 1 -- channels_last=true

MNIST, Adam, cross entropy, no validation; each rival has a process, and they take turns:

bare       a hand-written loop over the uint8 images in memory, with the fused optimizer: the limit
textbook   torchvision's data set, ToTensor and Normalize, a DataLoader, `loss.item()` each step
lightning  pytorch-lightning on the same DataLoader, logging loss and accuracy to TensorBoard
trainer    this runner as it is by default: metrics, difficulty store, TensorBoard, finite checks

A figure is the median over the repeats of images per second, with the lowest and the highest.
Ratios are formed within each repeat. The time of an epoch is the whole of it, with the plan, the
store's flush and the log; the checkpoint that follows is not in it (scripts/bench_checkpoint.py).
"""

import argparse
import contextlib
import gc
import io
import logging
import multiprocessing
import platform
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from figures import spread
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

from trainer.__main__ import CONF, register
from trainer.cli.execute import make_run
from trainer.report.console import Console
from trainer.report.log import Log
from trainer.run.assemble import assemble
from trainer.run.memory import keep_freed_memory
from trainer.storage.run_folder import RunFolder
from trainer.training.reporter import Reporter

MEAN, STD = 0.1307, 0.3081
MODELS = {"mlp": 60_000, "simple_cnn": 6_400}  # and the images of an epoch
BATCHES, THREADS = (64, 512), (1, 2)
GOALS = {"mlp": (0.80, 5.0), "simple_cnn": (0.97, 1.1)}  # against bare and lightning, batch 64


def network(name: str) -> nn.Module:
    """The same network as the runner's of that name."""
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


class Rival(ABC):
    """Trains some epochs of one network."""

    def __init__(
        self, root: str, model: str, batch_size: int, folder: Path, overrides: Sequence[str]
    ) -> None:
        self.root = root
        self.overrides = overrides
        self.name = model
        self.images = MODELS[model]
        self.batch_size = batch_size
        self.folder = folder
        torch.manual_seed(0)
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Read the data and make the network."""

    @abstractmethod
    def epoch(self) -> None:
        """Train an epoch."""

    def speed(self) -> float:
        """Images per second of an epoch."""
        began = time.perf_counter()
        self.epoch()
        return self.images / (time.perf_counter() - began)


class Bare(Rival):
    """The loop by hand over uint8 tensors."""

    def prepare(self) -> None:
        """Pixels [n, 1, 28, 28] and labels [n]."""
        data = MNIST(self.root)
        self.pixels = data.data[: self.images, None].contiguous()
        self.labels = data.targets[: self.images]
        self.model = network(self.name)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def epoch(self) -> None:
        """Train an epoch."""
        for ids in torch.randperm(self.images).split(self.batch_size):
            images = self.pixels[ids].float().mul_(1 / 255).sub_(MEAN).div_(STD)
            loss = F.cross_entropy(self.model(images), self.labels[ids])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class Textbook(Rival):
    """The loop of the tutorials."""

    def prepare(self) -> None:
        """The data set image by image."""
        data = MNIST(self.root, transform=Compose([ToTensor(), Normalize(MEAN, STD)]))
        part = Subset(data, range(self.images))
        self.loader = DataLoader(part, batch_size=self.batch_size, shuffle=True)
        self.model = network(self.name)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def epoch(self) -> None:
        """Train an epoch."""
        total = 0.0
        for images, labels in self.loader:
            loss = F.cross_entropy(self.model(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item()


class Lightning(Textbook):
    """pytorch-lightning on the same DataLoader; one `fit` of one epoch, timed inside."""

    def epoch(self) -> None:
        """Train an epoch, with the Trainer's start outside of the clock."""
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
        trainer.training.fit(module, self.loader)
        self.seconds = module.seconds

    def speed(self) -> float:
        """Images per second between the hooks at an epoch's start and end."""
        self.epoch()
        return self.images / self.seconds


class Trainer(Rival):
    """The runner: one epoch of its own loop after another."""

    def prepare(self) -> None:
        """A run as the command line would make it."""
        overrides = [
            *("dataset=mnist", f"dataset.root={self.root}", "dataset.val_fraction=0"),
            *(f"dataset.subset={self.images}", f"model={self.name}", "device=cpu", "quiet=true"),
            *(f"batch_size={self.batch_size}", "epochs=100", "checkpoint.every=100ep"),
            *self.overrides,
        ]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = OmegaConf.to_container(compose("config", overrides), resolve=True)
        console = Console(quiet=True)
        run = make_run(config, RunFolder(self.folder), console, overrides, [str(CONF)])  # pyright: ignore
        run.folder.path.mkdir()
        log = Log(run.folder.path, run.console.warn)
        self.fit = assemble(
            run, run.folder, Reporter(log, run.console, run.data, run.epochs), run.signals
        )

    def epoch(self) -> None:
        """Train an epoch."""
        self.fit.epoch()


RIVALS = {"bare": Bare, "textbook": Textbook, "lightning": Lightning, "trainer": Trainer}


def serve(name: str, root: str, overrides: Sequence[str], orders: Connection) -> None:
    """A rival's process: makes a network when told what, and trains an epoch; None ends it."""
    if name == "trainer":
        keep_freed_memory()  # as the command line does, and the next line
        gc.freeze()
        register()
    with tempfile.TemporaryDirectory() as folder, quiet():
        while (setting := orders.recv()) is not None:
            model, batch_size, threads, repeats = setting
            torch.set_num_threads(threads)
            own = Path(folder) / f"{time.time_ns()}"
            rival = RIVALS[name](root, model, batch_size, own, overrides)
            for _ in range(repeats):
                orders.send(rival.speed())
                orders.recv()  # its turn again


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without lightning's tips and warnings."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


class Race:
    """A process for each rival; one at a time has the machine."""

    def __init__(self, root: str, overrides: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.ends: dict[str, Connection] = {}
        for name in RIVALS:
            self.ends[name], other = context.Pipe()
            arguments = name, root, overrides, other
            context.Process(target=serve, args=arguments, daemon=True).start()

    def run(self, *setting: Any, repeats: int) -> dict[str, list[float]]:
        """Images per second of each rival in each repeat, after an epoch to warm up."""
        speeds: dict[str, list[float]] = {name: [] for name in RIVALS}
        for repeat in range(repeats + 1):
            for name, values in speeds.items():
                self.ends[name].send((*setting, repeats + 1) if repeat == 0 else "go on")
                values.append(self.ends[name].recv())
        for end in self.ends.values():
            end.send("done")
        return {name: values[1:] for name, values in speeds.items()}

    def stop(self) -> None:
        """End the processes."""
        for end in self.ends.values():
            end.send(None)
        for process in multiprocessing.active_children():
            process.join()


def show(model: str, batch_size: int, threads: int, speeds: dict[str, list[float]]) -> None:
    """A row of the table."""

    def ratio(other: str) -> str:
        pairs = zip(speeds["trainer"], speeds[other], strict=True)
        return spread([own / theirs for own, theirs in pairs], ".2f")

    cells = [f"`{model}`", str(batch_size), str(threads)]
    cells += [spread(values, ",.0f") for values in speeds.values()]
    cells += [ratio("bare"), ratio("textbook"), ratio("lightning")]
    print("| " + " | ".join(cells) + " |", flush=True)


def versions() -> str:
    """What was measured with."""
    import lightning
    import torchvision

    return (
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, lightning {lightning.__version__}"
    )


def main() -> None:
    """All settings, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("overrides", nargs="*", help="settings of the trainer's run")
    parser.add_argument("--root", default="../shared/data", help="holds MNIST/raw")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batches", nargs="*", type=int, default=BATCHES)
    parser.add_argument("--threads", nargs="*", type=int, default=THREADS)
    options = parser.parse_args()
    race = Race(options.root, options.overrides)
    print(f"{versions()}; {options.repeats} repeats, images/s: median (lowest to highest)\n")
    heads = ["model", "batch", "threads", *RIVALS]
    heads += [f"trainer / {name}" for name in ("bare", "textbook", "lightning")]
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for threads in options.threads:
        for model in options.models:
            for batch_size in options.batches:
                setting = model, batch_size, threads
                show(*setting, race.run(*setting, repeats=options.repeats))
    race.stop()
    for model, (bare, lightning) in GOALS.items():
        print(f"goal, one thread, batch 64: {model} {bare} of bare, {lightning} of lightning")


if __name__ == "__main__":
    main()
