"""Assembles the training loop from the components of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack

import torch
from torch.optim import Optimizer

from trainer.augmentation.shared.taken import taken
from trainer.core.duration import Clock, Every
from trainer.core.option import option_of
from trainer.dataset.shared.words import word_ids
from trainer.distributed.variants import step_parts
from trainer.history.store import DifficultyStore
from trainer.mining.shared.ranker import Ranker
from trainer.optimizer.shared.groups import base_lr
from trainer.run.compatibility import check_pixels
from trainer.storage.trained_on import COVER, TrainedOn
from trainer.training.checkpointer import Checkpointer
from trainer.training.finetune import Freeze
from trainer.training.fit import Fit
from trainer.training.learning_rate import LearningRate
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.progress import Progress
from trainer.training.step import Step
from trainer.training.weight_average import Average, build_average

if TYPE_CHECKING:
    from collections.abc import Callable

    from trainer.augmentation import Augmentation
    from trainer.core.signals import Signals
    from trainer.mining import Miner
    from trainer.mixer import Mixer
    from trainer.run.components import Components
    from trainer.storage.run_folder import RunFolder
    from trainer.training.reporter import Reporter

NO_LIMIT = 2**62  # steps in a row that may be skipped


@dataclass(frozen=True)
class StepAssembly:
    """A train step and the parts that it is handed."""

    step: Step
    optimizer: Optimizer
    guard: NonFiniteGuard
    store: DifficultyStore
    meter: Meter
    average: Average
    progress: Progress


class Replacements(TypedDict, total=False):
    """What a train step has in place of its run's own."""

    miner: Miner
    mixer: Mixer
    augmentation: list[Augmentation]
    tolerant: bool  # skip every non-finite step


def assemble(
    run: Components,
    folder: RunFolder,
    reporter: Reporter,
    signals: Signals,
    **replaced: Unpack[Replacements],
) -> Fit:
    """The training loop of a run, at its first step."""
    config, data = run.config, run.data
    with run.world.main_first():  # one process of a machine decodes for the others
        train_feed, val_feed = run.open_feed(data.train), run.open_feed(data.val)
    clock = Clock(run.full_steps, config["steps"] or config["epochs"] * run.full_steps)
    made, miner = assemble_step(run, folder, clock, **replaced), replaced.get("miner", run.miner)
    made.average.check_start(clock)
    return Fit(
        seed=run.seed,
        epochs=run.epochs,
        max_steps=config["steps"],
        clock=clock,
        data=data,
        data_check=run.data_check,
        train_feed=train_feed,
        val_feed=val_feed,
        planner=run.planner_for(miner),
        model=run.model,
        loss=run.ready_loss,
        miner=miner,
        learning_rate=LearningRate(run.schedule, run.warmup, base_lr(made.optimizer), clock),
        freeze=freeze_of(run, clock),
        evaluator=run.evaluator,
        early_stopping=run.early_stopping,
        checkpointer=checkpointer(run, folder, clock),
        reporter=reporter,
        log_every=Every(config["log"]["every"], clock, "log.every"),
        signals=signals,
        **vars(made),
    )


def assemble_step(
    run: Components,
    folder: RunFolder,
    clock: Clock,
    **replaced: Unpack[Replacements],
) -> StepAssembly:
    """The train step of a run with a new optimizer."""
    config, train = run.config, run.data.train
    height, width = (1, *run.data.shape)[-2:]  # of a text: 1, and its words
    make = step_parts(run.world, (height, width))
    miner, mixer = replaced.get("miner", run.miner), replaced.get("mixer", run.mixer)
    augmentation = replaced.get("augmentation", run.augmentation)
    augmentation = taken(augmentation, uncut=run.data.uncut)
    optimizer = run.make_optimizer(run.model)
    guard = guard_of(run, make.guard, optimizer, tolerant=replaced.get("tolerant", False))
    store = store_of(run, make.store, folder)
    miner.words = word_ids(run.data.vocabulary)
    miner.prepare(train.labels.to(run.device))
    check_pixels(run.data.target, run.ready_loss, miner)
    mixer.bind_clock(clock)
    for each in augmentation:
        each.prepare(train)
    run.distiller.prepare(run.forward, run.data)
    meter = make.meter(run.task, run.ready_loss, store)
    average = build_average(run.model, config["ema"], config["swa"], clock)
    progress = Progress()
    step = make.step(
        forward=run.forward,
        augmentation=augmentation,
        mixer=mixer,
        loss=run.ready_loss,
        miner=miner,
        ranker=Ranker(run.task, miner),
        distiller=run.distiller,
        guard=guard,
        meter=meter,
        average=average,
        cost=progress.cost,
        accumulate=config["accumulate"],
        clip=config["clip"],
        sam=config["sam"],
    )
    return StepAssembly(step, optimizer, guard, store, meter, average, progress)


def store_of(
    run: Components, make: Callable[..., DifficultyStore], folder: RunFolder
) -> DifficultyStore:
    """The difficulty store of a run, which has written what does not change."""
    data = run.data
    rows, classes = len(data.train.labels), len(data.classes)
    objects = data.train.labels.shape[1] if data.target == "boxes" else 0
    store = make(
        folder.path / "examples",
        rows,
        run.task.fields,
        run.device,
        classes=classes,
        objects=objects,
    )
    store.describe(**data.described())
    return store


def guard_of(
    run: Components, make: Callable[..., NonFiniteGuard], optimizer: Optimizer, *, tolerant: bool
) -> NonFiniteGuard:
    """The guard of every update, and of the buffers of the model and the loss."""
    config = run.config
    half = config["precision"] == "fp16"
    return make(
        optimizer,
        [*run.model.buffers(), *run.ready_loss.guarded()],
        policy="skip" if tolerant else config["nonfinite"],
        max_skips=NO_LIMIT if tolerant else config["max_skips"],
        deferred=not reads_each_step(run, optimizer, half=half),
        scaler=torch.amp.GradScaler(run.device.type, enabled=half),
        undo=run.ready_loss.undo,
    )


def freeze_of(run: Components, clock: Clock) -> Freeze:
    """Freeze a part of the model, after the optimizer was given every parameter."""
    settings = run.config["finetune"]
    return Freeze(run.model, settings["freeze"], settings["unfreeze"], clock)


def checkpointer(run: Components, folder: RunFolder, clock: Clock) -> Checkpointer:
    """The checkpointer; early stopping's monitor, if it has one, decides which weights are best."""
    settings, best_by = run.config["checkpoint"], run.early_stopping.best_by
    monitor, mode = best_by or (settings["monitor"], None)
    if monitor != settings["monitor"]:
        run.console.say(
            f"best weights by early_stopping.monitor={monitor}, "
            f"not checkpoint.monitor={settings['monitor']}"
        )
    return Checkpointer(
        folder,
        run.config,
        Every(settings["every"], clock, "checkpoint.every"),
        keep=settings["keep"],
        writes=run.world.is_main,
        monitor=monitor,
        mode=mode,
        trained_on=trained_on(run, folder),
    )


def trained_on(run: Components, folder: RunFolder) -> TrainedOn:
    """What the run's model is trained on."""
    return TrainedOn.of(
        run.data,
        folder.path,
        run.class_counts,
        task=option_of(run.task),
        outputs=run.task.outputs(run.data),
        background=getattr(run.dataset, "background", None),
        fit=getattr(run.dataset, "way", COVER),
    )


def reads_each_step(run: Components, optimizer: Optimizer, *, half: bool) -> bool:
    """Whether the guard waits for each step: under `skip` a bad step must reach nothing else."""
    fused = bool(optimizer.param_groups[0].get("fused"))
    on_gpu = run.device.type == "cuda" and fused and not half
    return not on_gpu or run.config["nonfinite"] == "skip"
