"""One component of each config group, built from its config node on first use."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim import Optimizer

from trainer.augmentation import Augmentation
from trainer.augmentation.none import NoAugmentation
from trainer.compare import Interval
from trainer.config.build import build
from trainer.core.errors import ConfigError
from trainer.dataset import Dataset
from trainer.distill import Distiller
from trainer.distributed.world import World
from trainer.early_stopping import EarlyStopping
from trainer.init import Init
from trainer.loader import Loader
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.mixer import Mixer
from trainer.postprocess import Postprocess
from trainer.report.console import Console
from trainer.sampler import Sampler
from trainer.schedule import Schedule
from trainer.storage.restored import Restored
from trainer.task import Task
from trainer.warmup import Warmup

T = TypeVar("T")
Stopper = Callable[[EarlyStopping], EarlyStopping]


class Groups(ABC):
    """Builds each component on first use. Once built, none is replaced."""

    def __init__(
        self, config: dict[str, Any], console: Console, *, world: World, stopper: Stopper
    ) -> None:
        self.config = config
        self.console = console
        self.world = world
        self.stopper = stopper

    @abstractmethod
    def restore(self, reference: str, setting: str) -> Restored:
        """The finished run that a setting refers to. Raises ConfigError where there is none."""

    def make(self, group: str, kind: type[T], **given: Any) -> T:
        """Build the component of a group. Raises ConfigError for what is not a `kind`."""
        node = self.config[group]
        if not isinstance(node, dict):
            raise ConfigError(f"{group} must name an option of the group, got {node!r}")
        return build(node, group, kind, **given)

    @cached_property
    def device(self) -> torch.device:
        """The device of the run. Raises ConfigError where it is not available."""
        name = self.config["device"]
        if name == "auto":
            mps = torch.backends.mps.is_available()
            mps = mps and self.world.alone
            return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
        device = torch.device(name)
        available = {
            "cpu": lambda: True,
            "mps": torch.backends.mps.is_available,
            "cuda": lambda: (device.index or 0) < torch.cuda.device_count(),
        }
        if not available[device.type]():
            raise ConfigError(f"device={name} is not available on this machine; take device=cpu")
        return device

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.config["seed"]

    @cached_property
    def task(self) -> Task:
        """The meaning of outputs and labels."""
        return self.make("task", Task)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, not yet read."""
        return self.make("dataset", Dataset, warn=self.console.warn)

    @cached_property
    def loader(self) -> Loader:
        """How plans become batches."""
        return self.make("loader", Loader)

    @cached_property
    def init(self) -> Init:
        """How a new model's weights are initialised."""
        return self.make("init", Init)

    @cached_property
    def augmentation(self) -> list[Augmentation]:
        """The augmentations in order, without the null object."""
        nodes = self.config["augmentation"]
        made = (build(node, f"augmentation.{name}", Augmentation) for name, node in nodes.items())
        return [each for each in made if not isinstance(each, NoAugmentation)]

    @cached_property
    def mixer(self) -> Mixer:
        """How images are mixed."""
        return self.make("mixer", Mixer)

    @cached_property
    def sampler(self) -> Sampler:
        """The rows of an epoch."""
        given = {"restore": self.restore, "seed": self.seed, "warn": self.console.warn}
        return self.make("sampler", Sampler, **given)

    @cached_property
    def loss(self) -> Loss:
        """The loss, not yet prepared with the data."""
        return self.make("loss", Loss)

    @cached_property
    def miner(self) -> Miner:
        """Selects and weighs the examples that are trained on."""
        return self.make(
            "mining",
            Miner,
            noise_rate=self.config["dataset"].get("label_noise", 0.0),
            warn=self.console.warn,
        )

    @cached_property
    def distiller(self) -> Distiller:
        """Adds a teacher's soft targets to the loss."""
        return self.make("distill", Distiller, restore=self.restore)

    @cached_property
    def schedule(self) -> Schedule:
        """The learning rate over time."""
        return self.make("schedule", Schedule, seed=self.seed)

    @cached_property
    def warmup(self) -> Warmup:
        """The learning rate at the start."""
        return self.make("warmup", Warmup)

    @cached_property
    def early_stopping(self) -> EarlyStopping:
        """Decides at an epoch's end whether to stop training."""
        return self.stopper(self.make("early_stopping", EarlyStopping))

    @cached_property
    def postprocess(self) -> Postprocess:
        """Calibrates the outputs after training, fitted on val."""
        return self.make("postprocess", Postprocess)

    @cached_property
    def interval(self) -> Interval:
        """The confidence interval of a mean over runs."""
        return self.make("compare", Interval)

    def plain_optimizer(self, model: nn.Module) -> Optimizer:
        """A new optimizer for all parameters of a model, any model."""
        return self.make("optimizer", Optimizer, model=model, params=model.parameters())
