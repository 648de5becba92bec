"""The components of a run, prepared for each other."""

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Required, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.config.build import build, locate
from trainer.core.compiled import compiled
from trainer.core.errors import ConfigError
from trainer.core.forward import Forward, centre
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, seed_torch
from trainer.core.text import count
from trainer.dataset import Data, Split
from trainer.dataset.base import HASH
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.text_dataset import with_vocabulary
from trainer.dataset.shared.words import word_ids
from trainer.distributed.parts import SharedEvaluator
from trainer.distributed.variants import sharder
from trainer.distributed.world import ALONE, World
from trainer.loader import Feed
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.optimizer.shared.layer_rates import scale_parts
from trainer.report.console import Console
from trainer.run import settings
from trainer.run.compatibility import (
    check_augmentation,
    check_boxes,
    check_delay,
    check_inputs,
    check_outputs,
    check_per,
    check_score,
    check_single,
    check_stages,
    check_target,
    check_whole_batch,
    why_no_val,
)
from trainer.run.groups import Groups, Stopper
from trainer.storage.restored import Restore, Restored
from trainer.storage.saved_run import HARMLESS, known_code
from trainer.storage.trained_on import TrainedOn
from trainer.training.data_check import DataCheck
from trainer.training.evaluate import Evaluator
from trainer.training.finetune import initialise
from trainer.training.planner import Planner

Restorer = Callable[["Components"], Restore]


class Origin(TypedDict, total=False):
    """What components are made with, beside their settings."""

    overrides: Sequence[str]  # of the command line
    sources: Sequence[str]  # the config folders
    world: World
    restorer: Required[Restorer]  # makes what loads other runs
    stopper: Stopper  # wraps early stopping
    opened: dict[str, Data]  # data sets that are open already, by their settings
    trained_on: TrainedOn | None  # what a finished run was trained on: data is read in the same way
    from_checkpoint: bool  # whether a checkpoint's weights follow, so that the model needs none


class Components(Groups):
    """The components of a run, prepared for each other: data, model, forward pass, evaluator."""

    def __init__(self, config: dict[str, Any], console: Console, **origin: Unpack[Origin]) -> None:
        """Take the resolved settings."""
        world, stopper = origin.get("world", ALONE), origin.get("stopper", lambda own: own)
        super().__init__(config, console, world=world, stopper=stopper)
        self.overrides = list(origin.get("overrides", ()))
        self.sources = list(origin.get("sources", ()))
        self.restorer = origin["restorer"]
        self.opened = origin.get("opened", {})
        self.trained_on = origin.get("trained_on")
        self.follows_checkpoint = origin.get("from_checkpoint", False)

    def restore(self, reference: str, setting: str) -> Restored:
        """The finished run that a setting refers to. Raises ConfigError where there is none."""
        return self.restorer(self)(reference, setting)

    @property
    def from_checkpoint(self) -> bool:
        """Whether a checkpoint's weights follow, so that the model needs none."""
        return self.follows_checkpoint

    def of_saved(
        self, saved: dict[str, Any], *, asked: bool, trained_on: TrainedOn | None
    ) -> "Components":
        """The components of a finished run with the settings `saved`, on this run's device.

        Its weights are loaded later. With `asked`, this command line overrides the saved settings.
        Images and classes are read as those of `trained_on`, unless it is not known.
        """
        if asked:
            config = settings.as_asked(self.config, saved, self.overrides)
        else:
            config = settings.as_trained(self.config, saved)
        if trained_on is not None:
            config = settings.with_size(config, trained_on.size)
        return Components(
            config,
            self.console,
            overrides=self.overrides if asked else (),
            sources=self.sources,
            restorer=self.restorer,
            opened=self.opened,
            trained_on=trained_on,
            from_checkpoint=True,
        )

    @property
    def known_code(self) -> set[str]:
        """The import paths that another run's config may name."""
        return known_code(self.sources, self.config)

    def poll(self) -> None:
        """Raise Interrupted where a signal has asked the run to stop."""

    @cached_property
    def data(self) -> Data:
        """The data set, read, split, and checked against the other components."""
        data = self.open_data()
        if self.trained_on is not None:
            any_size = any(text.lstrip("+~").startswith("dataset.size") for text in self.overrides)
            data = self.trained_on.applied(data, any_size=any_size)
        elif data.kind == "text":
            data = self.with_words(data)
        check_inputs(
            data.kind,
            locate(self.config["model"], "model"),
            augmentation=self.augmentation,
            mixer=self.mixer,
            sampler=self.sampler,
            channels_last=self.config["channels_last"],
        )
        self.check_val(data)
        check_target(
            data,
            task=self.task,
            loss=self.loss,
            sampler=self.sampler,
            miner=self.miner,
            mixer=self.mixer,
            postprocess=self.postprocess,
        )
        check_augmentation(data, self.augmentation)
        check_per(data.target, self.miner)
        score = self.config["mining"].get("score")
        check_score(data.target, self.task, self.miner, score_given=score == self.miner.score)
        if data.target == "boxes":
            config, sharded = self.config, self.world.sharded
            check_boxes(self.loss, self.distiller, sam=config["sam"], sharded=sharded)
        check_whole_batch(
            self.loss,
            self.miner,
            self.mixer,
            accumulate=self.config["accumulate"],
            processes=self.world.size,
        )
        check_single(self.loss, self.mixer)
        check_delay(self.miner, processes=self.world.size)
        if data.target == "class":
            self.postprocess.prepare(self.counts_of(data))
        return data

    def with_words(self, data: Data) -> Data:
        """Texts by the vocabulary of the run to fine-tune, or with words that augmentations add."""
        source, (length,) = self.config["finetune"]["source"], data.shape
        if source is not None:
            vocabulary = self.restore(source, "finetune.source").vocabulary
        else:
            vocabulary = data.vocabulary
            for each in self.augmentation:
                vocabulary += each.words(vocabulary)
        return with_vocabulary(data, vocabulary, length)

    def counts_of(self, data: Data) -> Tensor:
        """Training examples, or pixels, per class [C]: those of the run that was trained."""
        if self.trained_on is None:
            return data.class_counts()
        return torch.tensor(self.trained_on.class_counts, dtype=torch.int64)

    @cached_property
    def class_counts(self) -> Tensor:
        """Training examples, or pixels, per class [C]; [0] if labels are not classes."""
        return self.counts_of(self.data)

    def open_data(self) -> Data:
        """Read the data set, once for all components with the same settings and seed."""
        key = self.data_key()
        if key not in self.opened:
            data = self.opened[key] = self.dataset.open(self.seed)
            images = {id(s.images): s.images for s in (data.train, data.val, data.test)}
            skipped = [path for i in images.values() for path in getattr(i, "skipped", ())]
            if skipped:
                names = ", ".join(map(printable, skipped))
                self.console.warn(f"{count(len(skipped), 'image')} cannot be read: {names}")
            for note in data.notes:
                self.console.warn(note)
        data = self.opened[key]
        self.record_decided(data)
        self.opened[self.data_key()] = data
        return data

    def data_key(self) -> str:
        """The settings of the data set and the seed."""
        node = {key: v for key, v in self.config["dataset"].items() if key not in HARMLESS}
        return json.dumps([node, self.seed], sort_keys=True)

    def record_decided(self, data: Data) -> None:
        """Put settings that the files have decided, such as `size`, into the config, and say so."""
        node = self.config["dataset"]
        for name, value in data.decided.items():
            if node.get(name) != value and name != HASH:
                self.console.say(f"dataset.{name}={value} ({node[name]}, decided by the images)")
        self.config = self.config | {"dataset": node | data.decided}

    def reads_like(self, other: "Components") -> bool:
        """Whether both read the same data set, though perhaps split otherwise."""
        return settings.same_source(self.config, other.config)

    def check_val(self, data: Data) -> None:
        """Raise ConfigError where components need a validation split and there is none."""
        parts = {
            "early_stopping": self.early_stopping,
            "schedule": self.schedule,
            "postprocess": self.postprocess,
        }
        asking = [group for group, part in parts.items() if part.needs_val]
        if asking and not len(data.val):
            raise ConfigError(f"{why_no_val(self.dataset, data)} for {' and '.join(asking)}")

    def open_feed(self, split: Split) -> Feed:
        """Open a split for reading: the feed yields its batches on the device."""
        return self.loader.open(split, self.device)

    @cached_property
    def model(self) -> nn.Module:
        """The model, initialised, on the device."""
        seed_torch(torch.device("cpu"), self.seed, Purpose.INIT)
        node = dict(self.config["model"])
        if self.from_checkpoint and "pretrained" in node:
            node["pretrained"] = False  # nothing is to be fetched
        outputs = self.task.outputs(self.data)
        given = {"shape": self.data.shape, "words": word_ids(self.data.vocabulary)}
        model = build(node, "model", nn.Module, outputs=outputs, **given)
        self.task.bind(model)
        check_stages(model, self.task, accumulate=self.config["accumulate"])
        check_outputs(model, self.task, self.data)
        if not self.from_checkpoint:
            source, pretrained = self.config["finetune"]["source"], bool(node.get("pretrained"))
            initialised = initialise(
                model, self.init, source=source, pretrained=pretrained, restore=self.restore
            )
            if self.init.batch:
                self.init.calibrate(model, self.sample(self.init.batch), initialised)
        if self.config["channels_last"]:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore
        return self.world.place(model.to(self.device), sharder(self.world))

    def sample(self, number: int) -> Tensor:
        """Training images [n, C, H, W], evenly from the split, standardised, on the CPU.

        Of texts the word ids [n, L].
        """
        train, n = self.data.train, min(number, len(self.data.train))
        inputs = train.images.read(train.ids[torch.arange(n) * len(train) // n].tolist())
        if self.data.kind == "text":
            return inputs
        mean, std = (torch.tensor(s)[:, None, None] for s in (self.data.mean, self.data.std))
        return Forward.unit(centre(inputs, self.data.crop)).sub_(mean).div_(std)

    @cached_property
    def forward(self) -> Forward:
        """The model in the run's precision, compiled if asked for."""
        forward = self.forward_of(self.model)
        rows = self.batch_size // (self.config["accumulate"] * self.world.size)
        chosen = {"rows": rows, "eval_rows": self.eval_batch_size}
        forward.compiled = compiled(self.model, self.config["compile"], **chosen)
        return forward

    def forward_of(self, model: nn.Module) -> Forward:
        """Any model with the run's precision, device and standardisation."""
        return Forward(
            model,
            mean=self.data.mean,
            std=self.data.std,
            device=self.device,
            precision=self.config["precision"],
            channels_last=self.config["channels_last"],
            size=self.data.crop,
        )

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """The same for a model of the group, with the learning rates of its parts."""
        made = self.plain_optimizer(model)
        scales = {name: self.config["finetune"][name] for name in ("head_lr_factor", "layer_decay")}
        scale_parts(made, model, **scales)
        return made

    @cached_property
    def ready_loss(self) -> Loss:
        """The loss on the device, prepared with the data."""
        self.loss.ignore(self.task.ignore_index)
        self.loss.prepare(self.class_counts)
        self.loss.allocate(len(self.data.train.labels), len(self.data.classes))
        return self.loss.to(self.device)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Computes the metrics of a split."""
        return self.evaluator_of(self.forward)

    def evaluator_of(self, forward: Forward) -> Evaluator:
        """The same for another forward pass."""
        parts = forward, self.task, self.ready_loss, self.eval_batch_size
        return Evaluator(*parts) if self.world.alone else SharedEvaluator(self.world, *parts)

    @cached_property
    def planner(self) -> Planner:
        """The plans of the epochs."""
        return self.planner_for(self.miner)

    def planner_for(self, miner: Miner) -> Planner:
        """The plans of the epochs with a given miner."""
        return Planner(
            self.data.train,
            self.sampler,
            miner,
            seed=self.seed,
            batch_size=self.batch_size,
            epochs=self.epochs,
            warn=self.console.warn,
        )

    @cached_property
    def full_steps(self) -> int:
        """Steps of an epoch that trains on every example once."""
        return Plan.of(self.data.train.ids, self.batch_size).steps

    @cached_property
    def data_check(self) -> DataCheck:
        """Which data the run trains on, as checkpoints remember it."""
        return DataCheck(self.data, self.config["resume_allow"])

    @property
    def epochs(self) -> int:
        """Epochs of the run; with `steps`, that many steps rounded up to full epochs."""
        steps = self.config["steps"]
        return self.config["epochs"] if steps is None else -(-steps // self.full_steps)

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        size = self.config["batch_size"]
        return len(self.data.train) if size == "all" else size

    @property
    def eval_batch_size(self) -> int:
        """Examples of a batch in evaluation."""
        return self.config["eval_batch_size"]

    @property
    def postprocess_settings(self) -> dict[str, Any]:
        """The config node of the postprocessing, which tells whether a saved fit is still valid."""
        return self.config["postprocess"]
