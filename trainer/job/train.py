"""The main job: train, validate, test, write the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainer import checkpoint, gallery
from trainer.average import average_of
from trainer.compatible import check_pixels
from trainer.console import table
from trainer.distributed.several import kinds_of
from trainer.distributed.shared import NoLog
from trainer.errors import CheckpointError, ConfigError
from trainer.evaluate import Evaluation
from trainer.finetune import Freeze
from trainer.fit import Fit
from trainer.job.base import Job
from trainer.length import Clock, Every
from trainer.log import Log
from trainer.mining.rank import Ranker
from trainer.optimizer.parts import scale_parts
from trainer.rate import Rate, base_lr
from trainer.report import Report, flat
from trainer.resume import check, take_back
from trainer.saver import Saver
from trainer.step import Step

if TYPE_CHECKING:
    from trainer.run import Run

SPLITS = ("val", "test")  # read at the end of a run, with the weights that it ends with
MAY_DIFFER = (
    "compare",
    "epochs",
    "steps",
    "log.",
    "checkpoint.",
    "dataset.cache",
    "loader.",
    "quiet",
    "debug",
    "resume",
    "run",
    "strategy",
)


class Train(Job):
    """Trains to the end, takes the best checkpoint, reads val and test with it."""

    needs_data = True
    parallel = True

    def __call__(self, run: Run) -> dict[str, Any]:
        """Train, then test once."""
        held = resume(run)
        run.restores = held is not None
        resumed_at = None if held is None else held.state["progress"]["step"]
        offset = 0 if held is None else held.state["log"]
        if not run.world.leads:
            return follow(run, held)
        log = Log(run.folder.path, run.console.warn, resumed_at=resumed_at, offset=offset)
        try:
            report = Report(log, run.console, run.data, run.epochs)
            fit = make_fit(run, report)
            if held is None:
                report.config(run.config)
            else:
                take_back(fit, held)
                run.console.say(f"going on from {held.path}")
            return finish(run, fit, report)
        finally:
            log.close()


def follow(run: Run, held: checkpoint.Checkpoint | None) -> dict[str, Any]:
    """Train along with rank 0, which alone logs, writes and has the result."""
    fit = make_fit(run, Report(NoLog(), run.console, run.data, run.epochs))
    if held is not None:
        take_back(fit, held)
    fit()
    fit.step.average.settle()
    load_best(run, fit)
    evaluate(run)
    return {}


def resume(run: Run) -> checkpoint.Checkpoint | None:
    """The checkpoint to go on from, None to begin anew."""
    if run.config["resume"] is None:
        return None
    held = None
    if run.world.leads:
        held = checkpoint.latest(run.folder.checkpoints, run.console.warn)
    held = run.world.tell(held)
    if held is not None:
        check(run, held)
        compare_configs(run, held.config)
    return held


def compare_configs(run: Run, before: dict[str, Any]) -> None:
    """Say what differs from the checkpoint's config; refuse what must not."""
    was, now = dict(flat(before)), dict(flat(run.config))
    differing = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    allowed = (*MAY_DIFFER, *run.config["resume_allow"])
    for key in differing:
        change = f"{key}: {was.get(key)} → {now.get(key)}"
        if not key.startswith(allowed):
            raise ConfigError(f"resume: {change} is not the run's; resume_allow=[{key}] allows it")
        if not key.startswith("resume"):
            run.console.say(f"changed since the checkpoint: {change}")


def make_fit(run: Run, report: Report) -> Fit:
    """Put the parts together."""
    config, data = run.config, run.data
    with run.world.in_turn():  # the first process of a machine decodes for its others
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
        rate=Rate(run.schedule, run.warmup, base_lr(optimizer), clock),
        freeze=Freeze(run.model, config["finetune"], clock),  # after the optimizer took them all
        evaluator=run.evaluator,
        early_stopping=run.early_stopping,
        saver=Saver(
            run.folder,
            config,
            Every(config["checkpoint"]["every"], clock, "checkpoint.every"),
            keep=config["checkpoint"]["keep"],
            writes=run.world.leads,
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
    config, make = run.config, kinds_of(run.world, run.data.shape[1:])
    optimizer = run.make("optimizer", model=run.model, params=run.model.parameters())
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


def finish(run: Run, fit: Fit, report: Report) -> dict[str, Any]:
    """Train, test with the best weights, show and return the result."""
    parameters = sum(p.numel() for p in run.model.parameters())
    run.console.say(
        f"{type(run.dataset).__name__}: {len(run.data.train)} train, {len(run.data.val)} val, "
        f"{len(run.data.test)} test; {type(run.model).__name__}: {parameters:,} parameters; "
        f"{run.device}, {torch.get_num_threads()} threads; {run.folder.path}"
    )
    total = round(fit.clock.total)
    run.console.start(total, fit.progress.step)
    fit()
    run.console.stop()
    fit.step.average.settle()
    best = load_best(run, fit)
    finals = test(run, fit, report, best)
    p, cost = fit.progress, fit.step.cost
    report.hparams(run.config, {s: finals[s] for s in SPLITS if s in finals}, p.step)
    gallery.show(run, report, p.step)
    names = list(next(iter(finals.values())).metrics) if finals else []
    rows = [[split, *(f"{e.metrics[n]:.4f}" for n in names)] for split, e in finals.items()]
    run.console.say(table(f"weights of step {best} of {p.step}", ["split", *names], rows))
    run.console.say(f"training took {p.seconds:.1f} s")
    run.console.say(f"run folder    {run.folder.path}")
    run.console.say(f"dashboard     tensorboard --logdir {run.folder.path}")
    return {
        **{split: evaluation.metrics for split, evaluation in finals.items()},
        "best_step": best,
        "steps": p.step,
        "epochs": p.epoch,
        "train_seconds": p.seconds,
        "images_per_second": p.examples / max(p.seconds, 1e-9),
        "examples_seen": p.examples,
        "forward_passes": cost.forward,
        "backward_passes": cost.backward,
        "parameters": parameters,
    }


def load_best(run: Run, fit: Fit) -> int:
    """Load the best checkpoint's weights; the last ones stay where nothing was validated."""
    step = fit.saver.best_step
    if step is None:
        return fit.progress.step
    weights = None
    if run.world.leads:
        try:
            weights = checkpoint.load(checkpoint.at(run.folder.checkpoints, step)).model
        except CheckpointError as error:
            run.console.warn(f"{error}; testing the last weights instead")
    weights = run.world.tell(weights)
    if weights is None:
        return fit.progress.step
    run.model.load_state_dict(weights)
    return step


def test(run: Run, fit: Fit, report: Report, best: int) -> dict[str, Evaluation]:
    """Evaluate val and test with the weights as they stand, those of step `best`.

    Postprocessing is fitted on val; with it there are also `val_before` and `test_before`.
    """
    plain = evaluate(run)
    postprocess = run.postprocess
    postprocess.learn(run.data, plain.get("val"))
    postprocess.save(run.folder.path, run.config["postprocess"], f"step-{best}")
    finals: dict[str, Evaluation] = {}
    for name, evaluation in plain.items():
        finals |= postprocess.results(name, evaluation, run.evaluator)
    if "test" in finals:
        report.test(fit.progress.epoch, fit.progress.step, finals["test"])
    return finals


def evaluate(run: Run) -> dict[str, Evaluation]:
    """The splits that have examples, with the weights as they stand."""
    splits = {name: getattr(run.data, name) for name in SPLITS}
    return {
        name: run.evaluator(run.loader.open(split, run.device), split, poll=run.signals.check)
        for name, split in splits.items()
        if len(split)
    }
