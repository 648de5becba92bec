"""The main job: train, validate, test, write the run folder."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from trainer import history
from trainer.core.errors import CheckpointError
from trainer.core.text import count
from trainer.history.pictures import pictures
from trainer.history.texts import hardest_texts
from trainer.job.base import Job
from trainer.job.evaluate import reports
from trainer.job.shared import by_group, out_of_fold
from trainer.job.shared.box_pictures import box_pictures
from trainer.report.console import number, table
from trainer.storage import checkpoint, predicted
from trainer.training.single_row import check_single_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from trainer.dataset import Dataset, Split
    from trainer.distributed.world import World
    from trainer.loader import Feed
    from trainer.postprocess import Postprocess
    from trainer.report.console import Console
    from trainer.storage.checkpoint import Checkpoint
    from trainer.storage.run_folder import RunFolder
    from trainer.training.evaluate import Evaluation
    from trainer.training.fit import Fit

SPLITS = ("val", "test")  # evaluated at the end of a run, with its final weights


class Train(Job):
    """Trains, loads the best checkpoint and evaluates it on val and, once, on test."""

    needs_data = True
    parallel = True
    resumes = True
    extended_by = ("epochs", "steps")

    def __call__(
        self,
        *,
        fit: Fit,
        resumed: Checkpoint | None,
        settings: dict[str, Any],
        hyperparameters: dict[str, Any],
        dataset: Dataset,
        open_feed: Callable[[Split], Feed],
        postprocess: Postprocess,
        postprocess_settings: dict[str, Any],
        class_counts: Tensor,
        device: torch.device,
        folder: RunFolder,
        console: Console,
        world: World,
        metrics: list[str] | None,
    ) -> dict[str, Any]:
        """Train, then test once. All but the main process return an empty result."""
        fitting = postprocess, postprocess_settings, class_counts
        ending = Ending(fit, open_feed, *fitting, folder, console, world, metrics)
        if not world.is_main:
            return ending.follow()
        if world.alone:
            check_rows(fit, device)
        if fit.checkpointer.trained_on is not None:
            fit.checkpointer.trained_on.write(folder.path)
        if resumed is None:
            fit.reporter.config(settings)
        name = type(dataset).__name__
        console.say(f"{name}: {summary(fit)}; {device}, {threads()}; {folder.path}")
        console.start(round(fit.clock.total), fit.progress.step)
        fit()
        console.stop()
        best = ending.load_best()
        finals = ending.test(best)
        ending.write_fold(dataset.fold, finals)
        ending.write_predictions(finals)
        fit.reporter.hparams(
            hyperparameters, {s: finals[s] for s in SPLITS if s in finals}, fit.progress.step
        )
        ending.show_pictures()
        ending.show_boxes(finals)
        ending.show_metrics(finals, best)
        return result(fit, finals, best)


def summary(fit: Fit) -> str:
    """The sizes of the splits and of the model."""
    data, name = fit.data, type(fit.model).__name__
    splits = f"{len(data.train)} train, {len(data.val)} val, {len(data.test)} test"
    return f"{splits}; {name}: {parameters(fit):,} parameters"


def threads() -> str:
    """The number of CPU threads."""
    return count(torch.get_num_threads(), "thread")


@dataclass(frozen=True)
class Ending:
    """The steps after training: load the best weights, test, write pictures, print metrics."""

    fit: Fit
    open_feed: Callable[[Split], Feed]
    postprocess: Postprocess
    postprocess_settings: dict[str, Any]
    class_counts: Tensor  # [C] of the training split
    folder: RunFolder
    console: Console
    world: World
    metrics: list[str] | None  # that the table shows; None for the usual ones

    def follow(self) -> dict[str, Any]:
        """Train and evaluate in step with the main process, which alone logs and writes."""
        self.fit()
        self.evaluate(self.load_best())
        return {}

    def load_best(self) -> int:
        """Load the best checkpoint's weights, or keep the last ones if there was no validation.

        Returns the step of the weights.
        """
        fit = self.fit
        fit.average.settle()
        step, weights = fit.checkpointer.best_step, None
        if step is None:
            return fit.progress.step
        if self.world.is_main:
            try:
                weights = checkpoint.load(
                    checkpoint.step_folder(self.folder.checkpoints, step)
                ).model
            except CheckpointError as error:
                self.console.warn(f"{error}; testing the last weights instead")
        weights = self.world.broadcast(weights)
        if weights is None:
            return fit.progress.step
        try:
            fit.model.load_state_dict(weights)
        except RuntimeError as error:
            reason = (str(error).splitlines() or [""])[0]
            raise CheckpointError(f"step-{step} does not fit the model: {reason}") from error
        return step

    def test(self, best: int) -> dict[str, Evaluation]:
        """Evaluate the current weights, those of step `best`, on val and test.

        Postprocessing is fitted on val; the results then include `val_before` and `test_before`.
        """
        plain = self.evaluate(best)
        self.postprocess.learn(self.class_counts, plain.get("val"))
        self.postprocess.save(self.folder.path, self.postprocess_settings, f"step-{best}")
        finals: dict[str, Evaluation] = {}
        for name, evaluation in plain.items():
            finals |= self.postprocess.results(name, evaluation, self.fit.evaluator)
        classes = self.fit.data.classes
        finals = {k: self.fit.evaluator.reported(e, classes) for k, e in finals.items()}
        if "test" in finals:
            self.fit.reporter.test(self.fit.progress.epoch, self.fit.progress.step, finals["test"])
        return finals

    def evaluate(self, best: int) -> dict[str, Evaluation]:
        """Evaluate the current weights, those of step `best`, on the splits that are not empty.

        Raises NonFiniteError where their loss is not finite.
        """
        splits = {name: getattr(self.fit.data, name) for name in SPLITS}
        plain = {
            name: self.fit.evaluator(
                self.open_feed(split), split, poll=self.fit.signals.raise_if_stopped
            )
            for name, split in splits.items()
            if len(split)
        }
        for name, evaluation in plain.items():
            evaluation.require_finite(f"{name} with the weights of step {best}")
        return plain

    def write_fold(self, fold: int | None, finals: dict[str, Evaluation]) -> None:
        """Write the predictions of a run's own fold, if val is one, as they are without a fit."""
        if fold is not None and "val" in finals:
            own = finals.get("val_before", finals["val"])
            out_of_fold.write(self.folder.path, fold, own, self.fit.data)

    def write_predictions(self, finals: dict[str, Evaluation]) -> None:
        """Keep what is predicted for each example of test, with which `job=compare` goes on."""
        if "test" in finals:
            records = {name: values.numpy() for name, values in finals["test"].records.items()}
            predicted.write(self.folder.path, finals["test"].ids.numpy(), records)

    def show_pictures(self) -> None:
        """Write the difficulty store's pictures to `examples/` and to TensorBoard."""
        store = history.open(self.folder.path)
        images = pictures(store, self.fit.data)
        if not images:
            self.console.say("no pictures of the hardest examples: all were mixed")
        log = self.fit.reporter.log
        for name, pixels in images.items():
            path = self.folder.path / "examples" / f"{name}.png"
            log.attempt("examples/*.png", Image.fromarray(pixels).save, path)
            log.show("image", f"examples/{name}", pixels, self.fit.progress.step)
        texts = hardest_texts(store, self.fit.data)
        if texts is not None:
            log.show("text", "examples/hardest", texts, self.fit.progress.step)

    def show_boxes(self, finals: dict[str, Evaluation]) -> None:
        """Write the boxes found in test, or else in val, to the run folder and to TensorBoard."""
        name = next((name for name in ("test", "val") if name in finals), None)
        if name is None:
            return
        split, log = getattr(self.fit.data, name), self.fit.reporter.log
        for what, pixels in box_pictures(split, finals[name], self.fit.data.classes).items():
            path = self.folder.path / f"{what}.png"
            log.attempt(path.name, Image.fromarray(pixels).save, path)
            log.show("image", what, pixels, self.fit.progress.step)

    def show_metrics(self, finals: dict[str, Evaluation], best: int) -> None:
        """Print the final metrics, the training time and the run folder."""
        progress, say = self.fit.progress, self.console.say
        names = self.metrics or usual(finals)
        rows = [
            [split, *(number(e.metrics.get(n, math.nan)) for n in names)]
            for split, e in finals.items()
        ]
        say(table(f"weights of step {best} of {progress.step}", ["split", *names], rows))
        for split in (name for name in SPLITS if name in finals):
            if left_out := finals[split].left_out(split, self.fit.data.classes):
                say(left_out)
        shown = {split: finals[split] for split in SPLITS if split in finals}
        for groups in by_group.write(self.folder.path, shown, self.fit.data.groups):
            say(groups)
        say(f"training took {progress.seconds:.1f} s")
        say(f"run folder    {self.folder.path}")
        say(f"dashboard     tensorboard --logdir {shlex.quote(str(self.folder.path))}")


def usual(finals: dict[str, Evaluation]) -> list[str]:
    """The metrics that are shown unless `metrics` chooses: all but those of the report."""
    evaluation = next(iter(finals.values()), None)
    if evaluation is None:
        return []
    return [name for name in evaluation.metrics if name not in evaluation.report.metrics]


def check_rows(fit: Fit, device: torch.device) -> None:
    """Raise ConfigError where a step would train on a single row and the model refuses one."""
    check_single_rows(
        fit.model,
        fit.data.shape,
        fit.planner,
        most=fit.max_steps,
        accumulate=fit.step.accumulate,
        device=device,
    )


def parameters(fit: Fit) -> int:
    """Count the parameters of the model."""
    return sum(parameter.numel() for parameter in fit.model.parameters())


def result(fit: Fit, finals: dict[str, Evaluation], best: int) -> dict[str, Any]:
    """Return final metrics and training cost, for result.json."""
    progress = fit.progress
    return {
        **{split: evaluation.metrics for split, evaluation in finals.items()},
        **by_group.result({s: finals[s] for s in SPLITS if s in finals}, fit.data.groups),
        **reports({split: finals[split] for split in SPLITS if split in finals}),
        "best_step": best,
        "steps": progress.step,
        "epochs": progress.epoch,
        **fit.spent(),
        "images_per_second": progress.examples / max(progress.seconds, 1e-9),
        "parameters": parameters(fit),
    }
