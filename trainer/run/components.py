"""The parts of a run, each built from its node of the config when it is first asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from trainer.augmentation import Augmentation
from trainer.augmentation.none import NoAugmentation
from trainer.compare import Interval
from trainer.config.build import build
from trainer.core.errors import ConfigError
from trainer.core.forward import Forward
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, seed_torch
from trainer.dataset import Data, Dataset, Split
from trainer.distill import Distiller, Teacher
from trainer.distributed.parts import SharedEvaluator
from trainer.distributed.world import ALONE, World
from trainer.early_stopping import EarlyStopping
from trainer.init import Init
from trainer.job.base import Job
from trainer.loader import Loader
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.mixer import Mixer
from trainer.postprocess import Postprocess
from trainer.report.console import Console
from trainer.run.compatibility import check_outputs, check_target
from trainer.sampler import Sampler
from trainer.schedule import Schedule
from trainer.task import Task
from trainer.training.evaluate import Evaluator
from trainer.training.finetune import begin
from trainer.training.planner import Planner
from trainer.warmup import Warmup

T = TypeVar("T")


class Components(ABC):
    """A factory that makes one of each."""

    world: World = ALONE  # the processes that train it together
    restores = False  # whether a checkpoint's weights replace those that the model begins with

    def __init__(self, config: dict[str, Any], console: Console) -> None:
        self.config = config
        self.console = console

    @abstractmethod
    def encode(self, reference: str, split: Split) -> Tensor:
        """Features [n, d] of a split's examples by the model of a reference run."""

    @abstractmethod
    def teacher(self, reference: str) -> Callable[[], Teacher]:
        """What loads the model that a reference names, to learn from."""

    def make(self, group: str, kind: type[T], **given: Any) -> T:
        """Build the component of a group. Raises ConfigError for what is not a `kind`."""
        node = self.config[group]
        if not isinstance(node, dict):
            raise ConfigError(f"{group} must name an option of the group, got {node!r}")
        return build(node, group, kind, **given)

    @cached_property
    def device(self) -> torch.device:
        """The device of the run. Raises ConfigError where it is absent."""
        name = self.config["device"]
        if name == "auto":
            mps = torch.backends.mps.is_available()
            mps = mps and self.world.alone
            return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
        device = torch.device(name)
        there = {
            "cpu": lambda: True,
            "mps": torch.backends.mps.is_available,
            "cuda": lambda: (device.index or 0) < torch.cuda.device_count(),
        }
        if not there[device.type]():
            raise ConfigError(f"device={name}: there is no such device here; device=cpu works")
        return device

    @cached_property
    def job(self) -> Job:
        """What is to be done."""
        return self.make("job", Job)

    @cached_property
    def task(self) -> Task:
        """Meaning of outputs and labels."""
        return self.make("task", Task)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, not yet read."""
        return self.make("dataset", Dataset, warn=self.console.warn)

    @cached_property
    def data(self) -> Data:
        """The data set, read and split."""
        data = self.dataset.open(self.config["seed"])
        sources = {id(split.images): split.images for split in (data.train, data.val, data.test)}
        skipped = [path for images in sources.values() for path in getattr(images, "skipped", ())]
        if skipped:
            self.console.warn(f"{len(skipped)} images cannot be read: {', '.join(skipped)}")
        asking = [
            group
            for group in ("early_stopping", "schedule", "postprocess")
            if getattr(self, group).needs_val
        ]
        if asking and not len(data.val):
            groups = " and ".join(asking)
            raise ConfigError(f"dataset.val_fraction=0 leaves no validation split for {groups}")
        check_target(self, data)
        if data.target == "class":
            self.postprocess.prepare(data.class_counts())
        return data

    @cached_property
    def loader(self) -> Loader:
        """How plans become batches."""
        return self.make("loader", Loader)

    @cached_property
    def init(self) -> Init:
        """How weights begin."""
        return self.make("init", Init)

    @cached_property
    def model(self) -> nn.Module:
        """The model, initialised, on the device."""
        seed_torch(torch.device("cpu"), self.config["seed"], Purpose.INIT)
        node = dict(self.config["model"])
        if self.restores and "pretrained" in node:
            node["pretrained"] = False  # nothing is to be fetched
        outputs = self.task.outputs(self.data)
        model = build(node, "model", nn.Module, shape=self.data.shape, outputs=outputs)
        check_outputs(self, model, self.data)
        if not self.restores:
            pretrained = bool(node.get("pretrained"))
            finetune, warn = self.config["finetune"], self.console.warn
            made = begin(model, self.init, finetune, pretrained=pretrained, warn=warn)
            if self.init.batch:
                self.init.calibrate(model, self.sample(self.init.batch), made)
        if self.config["channels_last"]:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore
        return self.world.place(model.to(self.device))

    def sample(self, number: int) -> Tensor:
        """Training images [n, C, H, W], evenly from the split, standardised, on the CPU."""
        train, n = self.data.train, min(number, len(self.data.train))
        ids = train.ids[torch.arange(n) * len(train) // n]
        mean, std = (torch.tensor(s)[:, None, None] for s in (self.data.mean, self.data.std))
        return Forward.unit(train.images.read(ids.tolist())).sub_(mean).div_(std)

    @cached_property
    def forward(self) -> Forward:
        """The model in the run's precision, compiled where asked for."""
        compiled = torch.compile(self.model) if self.config["compile"] else self.model
        return Forward(
            compiled,  # pyright: ignore
            mean=self.data.mean,
            std=self.data.std,
            device=self.device,
            precision=self.config["precision"],
            channels_last=self.config["channels_last"],
        )

    @cached_property
    def augmentation(self) -> list[Augmentation]:
        """The augmentations, in order; none of the null object."""
        nodes = self.config["augmentation"]
        made = (build(node, f"augmentation.{name}", Augmentation) for name, node in nodes.items())
        return [each for each in made if not isinstance(each, NoAugmentation)]

    @cached_property
    def mixer(self) -> Mixer:
        """How images are blended."""
        return self.make("mixer", Mixer)

    @cached_property
    def sampler(self) -> Sampler:
        """The rows of an epoch."""
        return self.make("sampler", Sampler, encode=self.encode)

    @cached_property
    def loss(self) -> Loss:
        """The loss, without what it needs of the data."""
        return self.make("loss", Loss)

    @cached_property
    def ready_loss(self) -> Loss:
        """The loss, on the device, with what it needs of the data."""
        self.loss.ignore_index = self.task.ignore_index
        self.loss.prepare(self.data.class_counts())
        return self.loss.to(self.device)

    @cached_property
    def miner(self) -> Miner:
        """What is trained on."""
        return self.make("mining", Miner)

    @cached_property
    def distiller(self) -> Distiller:
        """What a teacher adds."""
        return self.make("distill", Distiller, restore=self.teacher)

    @cached_property
    def schedule(self) -> Schedule:
        """The learning rate over time."""
        return self.make("schedule", Schedule, seed=self.config["seed"])

    @cached_property
    def warmup(self) -> Warmup:
        """How the learning rate begins."""
        return self.make("warmup", Warmup)

    @cached_property
    def early_stopping(self) -> EarlyStopping:
        """When to stop."""
        return self.make("early_stopping", EarlyStopping)

    @cached_property
    def postprocess(self) -> Postprocess:
        """What is fitted after training."""
        return self.make("postprocess", Postprocess)

    @cached_property
    def interval(self) -> Interval:
        """How far a mean of runs may be off."""
        return self.make("compare", Interval)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Metrics of a split."""
        parts = self.forward, self.task, self.ready_loss, self.config["eval_batch_size"]
        return Evaluator(*parts) if self.world.alone else SharedEvaluator(self.world, *parts)

    @cached_property
    def planner(self) -> Planner:
        """The plans of the epochs."""
        return Planner(
            self.data.train,
            self.sampler,
            self.miner,
            seed=self.config["seed"],
            batch_size=self.batch_size,
            epochs=self.epochs,
            warn=self.console.warn,
        )

    @cached_property
    def full_steps(self) -> int:
        """Steps of an epoch that trains on every example once."""
        return Plan.of(self.data.train.ids, self.batch_size).steps

    @property
    def epochs(self) -> int:
        """Epochs of the run; where `steps` ends it, those that full ones would make."""
        steps = self.config["steps"]
        return self.config["epochs"] if steps is None else -(-steps // self.full_steps)

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        size = self.config["batch_size"]
        return len(self.data.train) if size == "all" else size
