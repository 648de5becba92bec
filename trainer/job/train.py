"""The main job: train, validate, test, write the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer import history
from trainer.core.errors import CheckpointError
from trainer.distributed.parts import NoLog
from trainer.history.pictures import pictures
from trainer.job.base import Job
from trainer.report.console import table
from trainer.report.log import Log
from trainer.run.assemble import make_fit
from trainer.run.resume import resume, take_back
from trainer.storage import checkpoint
from trainer.training.evaluate import Evaluation
from trainer.training.fit import Fit
from trainer.training.reporter import Reporter

if TYPE_CHECKING:
    from trainer.run.run import Run

SPLITS = ("val", "test")  # read at the end of a run, with the weights that it ends with


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
        if not run.world.is_main:
            return follow(run, held)
        log = Log(run.folder.path, run.console.warn, resumed_at=resumed_at, offset=offset)
        try:
            report = Reporter(log, run.console, run.data, run.epochs)
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
    fit = make_fit(run, Reporter(NoLog(), run.console, run.data, run.epochs))
    if held is not None:
        take_back(fit, held)
    fit()
    fit.step.average.settle()
    load_best(run, fit)
    evaluate(run)
    return {}


def finish(run: Run, fit: Fit, report: Reporter) -> dict[str, Any]:
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
    show(run, report, p.step)
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
    if run.world.is_main:
        try:
            weights = checkpoint.load(checkpoint.step_folder(run.folder.checkpoints, step)).model
        except CheckpointError as error:
            run.console.warn(f"{error}; testing the last weights instead")
    weights = run.world.broadcast(weights)
    if weights is None:
        return fit.progress.step
    run.model.load_state_dict(weights)
    return step


def test(run: Run, fit: Fit, report: Reporter, best: int) -> dict[str, Evaluation]:
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


def show(run: Run, report: Reporter, step: int) -> None:
    """At the end of a run: the pictures into its `examples/` and into TensorBoard."""
    folder = run.folder.path
    made = pictures(history.open(folder), run.data)
    if not made:
        run.console.say("no example was seen unmixed: no pictures of the hardest")
    for name, pixels in made.items():
        path = folder / "examples" / f"{name}.png"
        report.log.attempt("examples/*.png", Image.fromarray(pixels).save, path)
        report.log.show("image", f"examples/{name}", pixels, step)
