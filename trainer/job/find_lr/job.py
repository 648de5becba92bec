"""Learning rate range test (Smith 2017, https://arxiv.org/abs/1506.01186, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import torch
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.core.duration import Clock
from trainer.core.errors import NonFiniteError
from trainer.core.forward import evaluating
from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.job.base import Job
from trainer.job.find_lr.curve import Curve
from trainer.optimizer.shared.groups import base_lr
from trainer.report.console import table
from trainer.schedule import Schedule
from trainer.training.learning_rate import LearningRate
from trainer.training.rollback import rolled_back
from trainer.training.single_row import single_rows_explained
from trainer.warmup.none import NoWarmup

if TYPE_CHECKING:
    from trainer.core.batch import Batch
    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder
    from trainer.training.fit import Fit

Mode = Literal["exponential", "linear"]
WAY_OUT = "raise eval_batch_size or dataset.val_fraction"
MARGIN = 10  # the rate of the lowest loss is divided by this


class FindLr(Job):
    """Takes the run's own train steps at a learning rate that rises from `start` to `end`.

    After each step the loss is measured on up to `eval_batch_size` fixed examples of the validation
    split, or of the training split if there is none. The model is then in eval mode, except that
    BatchNorm uses batch statistics, as its running ones lag behind. The suggestion is a tenth of
    the rate at the lowest smoothed loss. Model and optimizer are restored. Writes `find_lr.csv` and
    `find_lr.png`.
    """

    needs_data = True

    def __init__(
        self,
        *,
        start: float = 1e-7,
        end: float = 10.0,
        steps: int = 100,
        mode: Mode = "exponential",
        beta: float = 0.8,
        diverge: float = 4.0,
    ) -> None:
        within("job.start", start, "(0, inf)")
        within("job.end", end, "(0, inf)")
        if end <= start:
            raise ValueError(f"job.end must be above job.start={start:g}, got {end:g}")
        within("job.steps", steps, "[2, inf)")
        within("job.beta", beta, "[0, 1)")
        within("job.diverge", diverge, "(1, inf)")
        self.ramp = Ramp(start, end, steps, mode)
        self.curve = Curve(beta=beta, diverge=diverge)

    def __call__(
        self, *, fit: Fit, eval_batch_size: int, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Run the test, then suggest a rate."""
        with rolled_back(fit):
            ended = self.climb(fit, eval_batch_size, console)
        pixels = self.curve.picture(log_scale=self.ramp.mode == "exponential")
        Image.fromarray(pixels).save(folder.path / "find_lr.png")
        fit.reporter.log.show("image", "find_lr", pixels, 0)
        self.curve.write(folder.path / "find_lr.csv")
        split = "val" if len(fit.data.val) else "train"
        result = self.conclude(console, split, ended)
        console.say(f"run folder    {folder.path}")
        return result

    def climb(self, fit: Fit, eval_batch_size: int, console: Console) -> str:
        """Take steps at rising rates. Returns why they ended."""
        ramp = self.ramp
        learning_rate = LearningRate(ramp, NoWarmup(), base_lr(fit.optimizer), Clock(1, ramp.steps))
        measure = loss_of(fit, eval_batch_size)
        console.start(ramp.steps, 0)
        try:
            for batch, step_id, first_row in batches(fit, ramp.steps):
                fit.signals.raise_if_stopped()
                lr = learning_rate.apply(fit.optimizer, step_id.step)
                fit.step(batch, step_id, first_row)
                fit.guard.read_flag()
                loss = measure()
                if not math.isfinite(loss):
                    return "the loss was not finite"
                self.curve.add(lr, loss)
                console.advance(step_id.step + 1, f"loss {loss:.4f}")
                if self.curve.diverged:
                    return "the loss diverged"
        except NonFiniteError as error:
            return str(error)
        finally:
            console.stop()
        return "the end of the range"

    def conclude(self, console: Console, split: str, ended: str) -> dict[str, Any]:
        """Print and return the curve and the suggested rate."""
        curve, say = self.curve, console.say
        say(table(f"learning rate and loss on {split}", ["lr", "loss", "smoothed"], curve.shown()))
        say(f"ended at      lr {curve.lrs[-1]:.2g}: {ended}" if curve.lrs else f"ended: {ended}")
        lowest, steepest = curve.lowest(), curve.steepest()
        suggestion = None if lowest is None else rounded(curve.lrs[lowest] / MARGIN)
        override = None if suggestion is None else f"optimizer.lr={suggestion:g}"
        if lowest is None or steepest is None:
            console.warn(
                "no suggestion: the loss never fell by 1 %; try another job.start or job.end"
            )
        else:
            say(f"lowest        lr {curve.lrs[lowest]:.2g}; a tenth of it is {suggestion:g}")
            say(f"steepest      lr {curve.lrs[steepest]:.2g}")
            if lowest == len(curve.lrs) - 1:
                console.warn("the loss was still falling at the end; raise job.end")
            say(f"suggestion    {override}")
        return {
            "suggestion": suggestion,
            "override": override,
            "lowest": None if lowest is None else curve.lrs[lowest],
            "steepest": None if steepest is None else curve.lrs[steepest],
            "ended": ended,
            "split": split,
            "curve": {"lr": curve.lrs, "loss": curve.losses, "smoothed": curve.smoothed},
        }


class Ramp(Schedule):
    """Rate of step t of n: start·(end/start)^(t/(n − 1)), or linear from start to end."""

    def __init__(self, start: float, end: float, steps: int, mode: Mode) -> None:
        self.start = start
        self.end = end
        self.steps = steps
        self.mode = mode

    def lr(self, t: float, base: float) -> float:
        """Return the rate at step t; the optimizer's own rate `base` is ignored."""
        share = t / (self.steps - 1)
        if self.mode == "linear":
            return self.start + (self.end - self.start) * share
        return self.start * (self.end / self.start) ** share


def batches(fit: Fit, steps: int) -> Iterator[tuple[Batch, StepId, int]]:
    """Yield the batches of the run's first steps, with their step ids and first rows."""
    epoch = step = 0
    while step < steps:
        fit.planner.refresh(epoch, fit.scan)
        plan = fit.planner.plan(epoch)
        bounds = plan.bounds.tolist()
        cut = fit.step.cut(plan, StepId(fit.seed, epoch, step))
        feed = fit.train_feed.batches(plan, cut=cut)
        for i, batch in enumerate(islice(feed, steps - step)):
            yield batch, StepId(fit.seed, epoch, step), bounds[i]
            step += 1
        epoch += 1


def loss_of(fit: Fit, eval_batch_size: int) -> Callable[[], float]:
    """Return a function that measures the loss on fixed examples of val, or else of train."""
    has_val = len(fit.data.val) > 0
    split, feed = (fit.data.val, fit.val_feed) if has_val else (fit.data.train, fit.train_feed)
    number = min(eval_batch_size, len(split))
    ids = split.ids[torch.arange(number) * len(split) // number]
    batch = next(iter(feed.batches(Plan.of(ids, number))))
    forward = fit.step.forward
    images = forward.inputs(batch.images)

    def measure() -> float:
        named = single_rows_explained(f"the only one that the loss is measured on; {WAY_OUT}")
        with batch_statistics(fit.model), torch.no_grad(), named:
            records = fit.evaluator.records(forward(images), batch.labels[:, 0])
        return (records["total_loss"].sum() / records["count"].sum()).item()

    return measure


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode, but let BatchNorm use batch statistics without updating any.

    BatchNorm modules already in eval mode, being frozen, keep using their running statistics.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    tracked = [module.track_running_stats for module in norms]
    with evaluating(model):
        for module in norms:
            module.training, module.track_running_stats = True, False
        try:
            yield
        finally:
            for module, tracks in zip(norms, tracked, strict=True):
                module.track_running_stats = tracks


def rounded(lr: float) -> float:
    """Round to two significant digits."""
    return float(f"{lr:.2g}")
