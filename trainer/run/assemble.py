"""Puts a training run together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from trainer.core.duration import Clock, Every
from trainer.distributed.variants import step_parts
from trainer.mining.shared.ranker import Ranker
from trainer.optimizer.shared.groups import base_lr
from trainer.optimizer.shared.layer_rates import scale_parts
from trainer.run.compatibility import check_pixels
from trainer.training.checkpointer import Checkpointer
from trainer.training.finetune import Freeze
from trainer.training.fit import Fit
from trainer.training.learning_rate import LearningRate
from trainer.training.reporter import Reporter
from trainer.training.step import Step
from trainer.training.weight_average import average_of

if TYPE_CHECKING:
    from trainer.run.run import Run


def make_fit(run: Run, report: Reporter) -> Fit:
    """Put the parts together."""
    config, data = run.config, run.data
    with run.world.main_first():  # the first process of a machine decodes for its others
        train_feed, val_feed = (run.loader.open(s, run.device) for s in (data.train, data.val))
    full = run.full_steps
    clock = Clock(full, config["steps"] or config["epochs"] * full)
    step = make_step(run, clock)
    step.average.check(clock)
    optimizer = step.guard.optimizer
    return Fit(
        seed=config["seed"],
        epochs=run.epochs,
        max_steps=config["steps"],
        clock=clock,
        model=run.model,
        data=data,
        train_feed=train_feed,
        val_feed=val_feed,
        planner=run.planner,
        step=step,
        rate=LearningRate(run.schedule, run.warmup, base_lr(optimizer), clock),
        freeze=Freeze(run.model, config["finetune"], clock),  # after the optimizer took them all
        evaluator=run.evaluator,
        early_stopping=run.early_stopping,
        saver=Checkpointer(
            run.folder,
            config,
            Every(config["checkpoint"]["every"], clock, "checkpoint.every"),
            keep=config["checkpoint"]["keep"],
            writes=run.world.is_main,
            **best_by(run),
        ),
        report=report,
        log_every=Every(config["log"]["every"], clock, "log.every"),
        signals=run.signals,
    )


def best_by(run: Run) -> dict[str, Any]:
    """The metric that the best weights are chosen by, and whether low or high is better."""
    monitor = run.config["checkpoint"]["monitor"]
    if run.early_stopping.best_by is None:
        return {"monitor": monitor}
    own, mode = run.early_stopping.best_by
    if own != monitor:
        run.console.say(f"the best weights: by early_stopping.monitor={own}, not {monitor}")
    return {"monitor": own, "mode": mode}


def make_step(run: Run, clock: Clock) -> Step:
    """The train step with its optimizer."""
    config, make = run.config, step_parts(run.world, run.data.shape[1:])
    optimizer = run.make("optimizer", Optimizer, model=run.model, params=run.model.parameters())
    scales = {name: config["finetune"][name] for name in ("head_lr_factor", "layer_decay")}
    scale_parts(optimizer, run.model, **scales)
    half = config["precision"] == "fp16"
    fused = bool(optimizer.param_groups[0].get("fused"))
    guard = make.guard(
        optimizer,
        [*run.model.buffers(), *run.ready_loss.buffers()],
        policy=config["nonfinite"],
        max_skips=config["max_skips"],
        deferred=not reads_each_step(run, fused=fused, half=half),
        scaler=torch.amp.GradScaler(run.device.type, enabled=half),
    )
    folder = run.folder.path / "examples"
    train = run.data.train
    store = make.store(folder, len(train.labels), run.task.fields, run.device)
    store.describe(**run.data.described())
    run.miner.prepare(train.labels.to(run.device))
    check_pixels(run, run.data)
    run.mixer.bind_clock(clock)
    for augmentation in run.augmentation:
        augmentation.prepare(train)
    run.distiller.prepare(run.forward, run.data)
    return make.step(
        forward=run.forward,
        augmentation=run.augmentation,
        mixer=run.mixer,
        loss=run.ready_loss,
        miner=run.miner,
        ranker=Ranker(run.task, run.miner),
        distiller=run.distiller,
        guard=guard,
        meter=make.meter(run.task, run.ready_loss, store),
        average=average_of(run.model, config["ema"], config["swa"], clock),
        accumulate=config["accumulate"],
        clip=config["clip"],
        sam=config["sam"],
    )


def reads_each_step(run: Run, *, fused: bool, half: bool) -> bool:
    """Whether the guard waits for each step: under `skip` nothing else may see a bad one."""
    on_gpu = run.device.type == "cuda" and fused and not half
    return not on_gpu or run.config["nonfinite"] == "skip"
