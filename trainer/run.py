"""Builds the parts of a run from its config, hands them to the job, writes result and status.

Parts are built when they are first asked for. `Run.check` asks for all that need no data.
"""

import hashlib
import json
import platform
import resource
import time
import traceback
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

import trainer
from trainer.augmentation import Augmentation
from trainer.augmentation.none import NoAugmentation
from trainer.build import build, check
from trainer.console import Console, complain
from trainer.dataset import Data, Dataset
from trainer.distill import Distiller
from trainer.early_stopping import EarlyStopping
from trainer.errors import ConfigError, Interrupted, OutOfMemoryError, TrainerError
from trainer.evaluate import Evaluator
from trainer.feature import encode
from trainer.folder import RunFolder, write_json
from trainer.forward import Forward
from trainer.init import Init
from trainer.job.base import Job
from trainer.loader import Loader
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.mixer import Mixer
from trainer.plan import Plan
from trainer.planner import Planner
from trainer.postprocess import Postprocess
from trainer.sampler import Sampler
from trainer.schedule import Schedule
from trainer.seed import Purpose, seed_torch
from trainer.signals import Signals
from trainer.source import Source, known_targets
from trainer.task import Task
from trainer.warmup import Warmup


def execute(config: dict[str, Any], folder: Path, overrides: list[str], sources: list[str]) -> int:
    """Run the job that the config names, in its folder. Returns the exit code."""
    if config["threads"] is not None:
        torch.set_num_threads(config["threads"])
    console = Console(quiet=config["quiet"])
    resumed = resume_folder(config["resume"])
    run = Run(config, RunFolder(resumed or folder), console, overrides, sources)
    run.check()
    if resumed is not None:
        from trainer.launch import remove_if_empty

        remove_if_empty(folder)
    try:
        run.folder.claim(fresh=config["resume"] is None)
        return run.start()
    finally:
        console.close()
        run.folder.release()


def resume_folder(resume: str | None) -> Path | None:
    """The run folder that `resume` names by its path or a checkpoint's."""
    if resume in (None, "auto"):
        return None
    path = Path(resume)
    if path.parent.name == "checkpoints":
        path = path.parent.parent
    if not (path / "status.json").is_file():
        raise ConfigError(f"resume={resume}: no run there; give auto or the path of a run folder")
    return path


class Run:
    """The parts of one run, each built on first use."""

    def __init__(
        self,
        config: dict[str, Any],
        folder: RunFolder,
        console: Console,
        overrides: list[str],
        sources: list[str],
    ) -> None:
        self.config = config
        self.folder = folder
        self.console = console
        self.overrides = overrides
        self.sources = sources
        self.signals = Signals()

    def check(self) -> None:
        """Build every part that needs no data, so that a bad setting is refused before it opens."""
        names = (
            "device job task dataset loader init augmentation mixer sampler loss miner distiller"
        )
        for name in f"{names} schedule warmup early_stopping postprocess".split():
            getattr(self, name)
        check(self.config["model"], "model", "shape", "outputs")  # its ranges need the shape
        probe = torch.nn.utils.skip_init(nn.Linear, 2, 2)  # draws no random number
        self.make("optimizer", model=probe, params=probe.parameters())
        if self.job.needs_data:
            _ = self.data  # an absent data set leaves no folder

    def start(self) -> int:
        """Do the job, with the status of the folder kept."""
        if self.folder.status.get("state") == "finished":
            self.console.say(f"{self.folder.path} is finished")
            return 0
        self.folder.write_status("running")
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        (self.folder.path / "config.yaml").write_text(text)
        self.console.open(self.folder.path / "train.log")
        began = time.perf_counter()
        try:
            with self.signals:
                result = self.job(self)
        except Exception as error:
            return self.fail(error)
        result |= self.about(time.perf_counter() - began)
        write_json(self.folder.path / "result.json", result)
        self.folder.write_status("finished", 0)
        return 0

    def fail(self, error: Exception) -> int:
        """Write the failed status and one line; returns the exit code."""
        self.console.stop()
        if isinstance(error, torch.OutOfMemoryError):
            error = OutOfMemoryError(
                f"out of memory on {self.device} with batch_size={self.config['batch_size']}; "
                "lower batch_size, or raise accumulate"
            )
        elif isinstance(error, ValueError) and not self.config["debug"]:
            error = ConfigError(str(error))
        code = error.exit_code if isinstance(error, TrainerError) else 1
        if self.config["debug"]:
            traceback.print_exception(error)
        text = str(error) if isinstance(error, TrainerError) else f"{type(error).__name__}: {error}"
        complain(text)
        self.console.record(text)
        state = "preempted" if isinstance(error, Interrupted) else "failed"
        self.folder.write_status(state, code, text)
        return code

    def about(self, seconds: float) -> dict[str, Any]:
        """What every result says of its run."""
        text = json.dumps(self.config, sort_keys=True)
        return {
            "seconds": seconds,
            "peak_memory_bytes": self.peak_memory(),
            "config_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "versions": {
                "trainer": trainer.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def peak_memory(self) -> int:
        """Bytes: of the GPU where there is one, otherwise of the process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def like(self, source: Source) -> "Run":
        """The parts of another run: its settings, but for those that the command line gives."""
        config = self.config | source.config(known_targets(self.sources))
        for override in self.overrides:
            key = override.lstrip("+~").split("=", 1)[0].split("@")[0]
            node, held, *parts = config, self.config, *key.split(".")
            for part in parts[:-1]:
                node, held = node[part], held[part]
            node[parts[-1]] = held[parts[-1]]
        for name in ("device", "threads", "run", "split", "job"):
            config[name] = self.config[name]
        return Run(config, self.folder, self.console, self.overrides, self.sources)

    def make(self, group: str, **given: Any) -> Any:
        """Build the component of a group."""
        node = self.config[group]
        if not isinstance(node, dict):
            raise ConfigError(f"{group} must name an option of the group, got {node!r}")
        return build(node, group, **given)

    @cached_property
    def device(self) -> torch.device:
        """The device of the run. Raises ConfigError where it is absent."""
        name = self.config["device"]
        if name == "auto":
            mps = torch.backends.mps.is_available()
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
        return self.make("job")

    @cached_property
    def task(self) -> Task:
        """Meaning of outputs and labels."""
        return self.make("task")

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, not yet read."""
        return self.make("dataset")

    @cached_property
    def data(self) -> Data:
        """The data set, read and split."""
        data = self.dataset.open(self.config["seed"])
        sources = {id(split.images): split.images for split in (data.train, data.val, data.test)}
        skipped = [path for images in sources.values() for path in getattr(images, "skipped", ())]
        if skipped:
            self.console.warn(f"{len(skipped)} images cannot be read: {', '.join(skipped)}")
        needs_val = self.early_stopping.needs_val or self.schedule.needs_val
        if needs_val and not len(data.val):
            raise ConfigError(
                "dataset.val_fraction=0 leaves no validation split for early_stopping or schedule"
            )
        return data

    @cached_property
    def loader(self) -> Loader:
        """How plans become batches."""
        return self.make("loader")

    @cached_property
    def init(self) -> Init:
        """How weights begin."""
        return self.make("init")

    @cached_property
    def model(self) -> nn.Module:
        """The model, initialised, on the device."""
        seed_torch(torch.device("cpu"), self.config["seed"], Purpose.INIT)
        model: nn.Module = self.make(
            "model", shape=self.data.shape, outputs=self.task.outputs(self.data)
        )
        self.init(model)
        if self.config["channels_last"]:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore
        return model.to(self.device)

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
        made = [build(node, f"augmentation.{name}") for name, node in nodes.items()]
        return [
            augmentation for augmentation in made if not isinstance(augmentation, NoAugmentation)
        ]

    @cached_property
    def mixer(self) -> Mixer:
        """How images are blended."""
        return self.make("mixer")

    @cached_property
    def sampler(self) -> Sampler:
        """The rows of an epoch."""
        return self.make("sampler", encode=partial(encode, self))

    @cached_property
    def loss(self) -> Loss:
        """The loss, without what it needs of the data."""
        return self.make("loss")

    @cached_property
    def ready_loss(self) -> Loss:
        """The loss, on the device, with what it needs of the data."""
        self.loss.prepare(self.data.class_counts())
        return self.loss.to(self.device)

    @cached_property
    def miner(self) -> Miner:
        """What is trained on."""
        return self.make("mining")

    @cached_property
    def distiller(self) -> Distiller:
        """What a teacher adds."""
        return self.make("distill")

    @cached_property
    def schedule(self) -> Schedule:
        """The learning rate over time."""
        return self.make("schedule")

    @cached_property
    def warmup(self) -> Warmup:
        """How the learning rate begins."""
        return self.make("warmup")

    @cached_property
    def early_stopping(self) -> EarlyStopping:
        """When to stop."""
        return self.make("early_stopping")

    @cached_property
    def postprocess(self) -> Postprocess:
        """What is fitted after training."""
        return self.make("postprocess")

    @cached_property
    def evaluator(self) -> Evaluator:
        """Metrics of a split."""
        size = self.config["eval_batch_size"]
        return Evaluator(self.forward, self.task, self.ready_loss, size)

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
