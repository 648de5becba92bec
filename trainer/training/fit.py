"""The training loop: train an epoch, validate, log, checkpoint, decide whether to stop."""

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.core.batch import Batch
from trainer.core.duration import Clock, Every
from trainer.core.errors import CheckpointError, DataError, DivergedError, NonFiniteError
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.core.signals import Signals, deferred
from trainer.dataset import Data
from trainer.early_stopping import EarlyStopping
from trainer.history.store import DifficultyStore
from trainer.loader import Feed
from trainer.loss import Loss
from trainer.mining import Miner
from trainer.training.checkpointer import MODEL, Checkpointer
from trainer.training.data_check import DataCheck
from trainer.training.evaluate import Evaluation, Evaluator
from trainer.training.finetune import Freeze
from trainer.training.learning_rate import LearningRate
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard, located
from trainer.training.optimizer_state import CheckedOptimizer
from trainer.training.part import Part
from trainer.training.planner import Planner
from trainer.training.progress import FirstSteps, Progress, Stopwatch
from trainer.training.reporter import Reporter
from trainer.training.single_row import single_rows_explained
from trainer.training.stateful import Checked, Stateful
from trainer.training.step import Step
from trainer.training.weight_average import Average, cumulative_statistics

ADDED = ("data",)  # parts that the checkpoints of 0.1.0 lack
ALL_OF_EVALUATION = "which is a batch of the training split in evaluation; raise eval_batch_size"
UNFIT = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of a foreign state


@dataclass(kw_only=True)
class Fit:
    """Trains until the last step, early stopping or a signal. Owns the parts the step works on."""

    seed: int
    epochs: int
    max_steps: int | None
    clock: Clock
    data: Data
    data_check: DataCheck
    train_feed: Feed
    val_feed: Feed
    planner: Planner
    model: nn.Module
    loss: Loss
    miner: Miner
    optimizer: Optimizer
    guard: NonFiniteGuard
    meter: Meter
    store: DifficultyStore
    average: Average
    step: Step
    learning_rate: LearningRate
    freeze: Freeze
    evaluator: Evaluator
    early_stopping: EarlyStopping
    checkpointer: Checkpointer
    reporter: Reporter
    log_every: Every
    signals: Signals
    progress: Progress
    watch: Stopwatch = field(default_factory=Stopwatch)
    first_steps: FirstSteps = field(default_factory=FirstSteps)

    def __call__(self) -> None:
        """Train to the end; the last step is always saved.

        Raises NonFiniteError naming the epoch and examples, Interrupted after a signal.
        """
        with deferred():
            self.train()

    def train(self) -> None:
        """Train to the end."""
        try:
            while not self.finished():
                self.epoch()
        except DataError:  # a signal to the whole group, as SLURM sends it, ends loader workers too
            if self.signals.stopped_alone():
                self.poll()
            raise
        except NonFiniteError as error:
            if not isinstance(error, DivergedError):
                self.save()  # weights and buffers are those before the bad step
            if self.miner.delays:  # the rows of a step are not those of the plan
                raise
            p = self.progress
            plan, begin = self.planner.plan(p.epoch), p.step - p.position
            raise located(error, plan, begin, p.epoch) from error
        if not self.checkpointer.saved:
            self.save()

    def finished(self) -> bool:
        """Return whether the run is complete."""
        if self.progress.stopped:
            return True
        if self.max_steps is not None:
            return self.progress.step >= self.max_steps
        return self.progress.epoch >= self.epochs

    def epoch(self) -> None:
        """Train the current epoch from the current position on, then validate."""
        p = self.progress
        if p.position == 0:
            self.planner.refresh(p.epoch, self.scan)
        plan = self.planner.plan(p.epoch)
        bounds = plan.bounds.tolist()
        self.watch.start()
        first = StepId(self.seed, p.epoch, p.step - p.position)
        rows, parts = self.step.divide(plan, first)
        cut = self.step.cut(plan, first, parts)
        for batch in self.train_feed.batches(rows, p.position, cut):
            if p.step == 0:
                self.show_start(batch, plan, parts[0])
            now = self.time(plan)
            p.lr = self.learning_rate.apply(self.optimizer, now)
            self.freeze(now)
            first_row = bounds[p.position]
            with self.first_steps.timed(bounds[p.position + 1] - first_row, p, self.watch):
                self.step(batch, StepId(self.seed, p.epoch, p.step), first_row, parts[p.position])
            p.position += 1
            p.step += 1
            p.examples += bounds[p.position] - first_row
            ends = p.step == self.max_steps
            last = ends or p.position == plan.steps
            if self.learning_rate.warmup.observes_after(p.step) and not last:
                self.show_warmup(plan)
            self.after_step(last=last)
            if ends:
                break
        self.end_epoch(plan)

    def time(self, plan: Plan) -> float:
        """Return the schedule's clock: epochs done, as a fraction, times steps per full epoch."""
        full = self.clock.steps_per_epoch
        return self.progress.epoch * full + self.progress.position * (full / plan.steps)

    def show_warmup(self, plan: Plan) -> None:
        """Pass the training metrics of the epoch so far to the warmup."""
        self.guard.read_flag()
        self.meter.flush()
        metrics = self.training_metrics(self.meter.so_far())
        self.learning_rate.observe_training(metrics, self.time(plan))

    def scan(self, ids: Tensor) -> Tensor:
        """Rank the training examples `ids` [n], unaugmented, by the current model; returns [n]."""

        def ranks(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
            losses = self.step.contract(outputs, batch)
            return {"rank": self.step.ranker(outputs, losses, batch)}

        ranked = self.evaluator.values(self.train_feed, ids, self.poll, ranks)
        self.progress.cost.add(len(ids), backward=False)
        return ranked["rank"].cpu()

    def show_start(self, batch: Batch, plan: Plan, part: Part | None) -> None:
        """Report the first epoch's class counts, and the first batch as the model will see it."""
        self.reporter.classes(plan)
        prepared = self.step.prepare(batch, StepId(self.seed, 0, 0), 0, part)
        self.reporter.inputs(prepared, self.step.forward)
        self.watch.start()

    def after_step(self, *, last: bool) -> None:
        """Log, save and stop when due; after an epoch's `last` step `end_epoch` logs and saves."""
        p = self.progress
        self.checkpointer.mark(saved=False)
        self.reporter.console.advance(p.step)
        if self.log_every.after_step(p.step) and not last:
            self.log_train({})
        due = self.checkpointer.every.after_step(p.step) and not last
        if due or self.signals.agreed_signal() is not None:
            self.save()
            self.signals.raise_if_stopped()

    def poll(self) -> None:
        """Save and stop if a signal has arrived; called during read-only passes."""
        if self.signals.agreed_signal() is not None:
            if not self.checkpointer.saved:
                self.save()
            self.signals.raise_if_stopped()

    def log_train(self, epoch_metrics: dict[str, float]) -> None:
        """Log one train event: metrics since the last one, learning rates, images per second."""
        p = self.progress
        self.guard.read_flag()
        self.meter.flush()
        p.seconds += self.watch.lap()
        examples, seconds = p.logged
        speed = (p.examples - examples) / max(p.seconds - seconds, 1e-9)
        p.logged = p.examples, p.seconds
        rates = {
            "lr": p.lr,
            "grad_norm": self.step.norm.item(),
            "images_per_second": speed,
            **{f"lr/group{i}": g["lr"] for i, g in enumerate(self.optimizer.param_groups)},
        }
        values = self.meter.take_interval() | epoch_metrics
        self.reporter.train(p.epoch, p.step, values, rates)

    def end_epoch(self, plan: Plan) -> None:
        """Validate, log, save when due and decide whether to stop."""
        p = self.progress
        self.guard.read_flag()
        self.guard.check_weights(p.step)
        self.meter.flush()
        p.seconds += self.watch.lap()
        self.average.after_epoch(self.time(plan))
        val = self.validate()  # on a signal, saves the epoch's last step and ends the run
        self.watch.start()
        train = self.meter.take_epoch()
        self.log_train({f"epoch_{name}": value for name, value in train.items()})
        self.store.flush(p.epoch)
        self.reporter.epoch(p.epoch, p.step, train, val, self.spent())
        self.reporter.details(p.epoch, p.step, self.model, val)
        metrics = self.training_metrics(train)
        if val is not None:
            metrics |= by_split("val", val.metrics)
        self.learning_rate.observe(metrics, self.time(plan))
        p.stopped = self.early_stopping.update(metrics)
        p.epoch += 1
        p.position = 0
        if val is not None and self.finished():
            val.require_finite(f"val after step {p.step}, the last")
        self.checkpointer.mark(saved=False)
        improved = val is not None and self.checkpointer.improved(metrics, p.step)
        every = self.checkpointer.every
        if improved or every.after_epoch(p.epoch) or every.after_step(p.step):
            self.save()

    def training_metrics(self, values: dict[str, float]) -> dict[str, float]:
        """Return the training metrics as monitors read them; NaN if no example was trained on."""
        missing = dict.fromkeys(("loss", *self.meter.task.tracked), math.nan)
        return by_split("train", missing | values)

    def spent(self) -> dict[str, float]:
        """Return the cost of the run so far, with the names used in result.json."""
        p, cost = self.progress, self.progress.cost
        p.compilation += self.watch.compilation()
        return {
            "examples_seen": p.examples,
            "forward_passes": cost.forward,
            "backward_passes": cost.backward,
            "train_seconds": p.seconds,
            "startup_seconds": p.startup,
            "compile_seconds": p.compilation,
        }

    def validate(self) -> Evaluation | None:
        """Evaluate the validation split with the averaged weights; None without such a split.

        BatchNorm statistics are estimated for those weights either way: checkpoints store them.
        """
        with self.average.applied(self.estimate):
            if not len(self.data.val):
                return None
            return self.evaluator(self.val_feed, self.data.val, poll=self.poll)

    def estimate(self) -> None:
        """Estimate the BatchNorm statistics of averaged weights from all training images."""
        context = single_rows_explained(ALL_OF_EVALUATION)
        with cumulative_statistics(self.model), self.evaluator.forward.uncompiled(), context:
            for _ in self.evaluator.outputs(self.train_feed, self.data.train.ids, self.poll):
                pass
        self.progress.cost.add(len(self.data.train), backward=False)

    def save(self) -> None:
        """Write a checkpoint of the current state."""
        self.progress.seconds += self.watch.lap()
        self.progress.compilation += self.watch.compilation()
        self.meter.flush()
        self.checkpointer.save(self.progress.step, self.state())
        self.watch.start()

    def stateful(self) -> dict[str, Stateful]:
        """Return the parts that a checkpoint stores, in loading order."""
        return {  # keys of the file format: older checkpoints have them
            MODEL: Checked(self.model, self.average.weights),
            "average": self.average,
            "optimizer": self.optimizer,
            "scaler": Checked(self.guard.scaler),
            "loss": Checked(self.loss),
            "rate": self.learning_rate,
            "miner": self.miner,
            "meter": self.meter,
            "history": self.store,
            "early_stopping": self.early_stopping,
            "saver": self.checkpointer,
            "progress": self.progress,
            "data": self.data_check,
            "log": self.reporter.log,  # last: it cuts off lines of a run whose state fits
        }

    def state(self) -> dict[str, Any]:
        """Return the state of every part."""
        return {name: part.state_dict() for name, part in self.stateful().items()}

    def load(self, state: dict[str, Any], *, keep_settings: bool = True) -> None:
        """Restore the state of every part, as returned by `state`.

        With `keep_settings` the optimizer keeps the settings that it was built with. Raises
        CheckpointError, naming the part and the entry, for a state that does not fit.
        """
        parts = self.stateful()
        if keep_settings:
            parts["optimizer"] = CheckedOptimizer(self.optimizer, self.guard.full_parameters())
        for name, part in parts.items():
            if name not in state and name in ADDED:
                continue
            try:
                part.load_state_dict(state[name])
            except UNFIT as error:
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                reason = (str(error).splitlines() or [""])[0]
                raise CheckpointError(f"{name}: {kind}{reason}") from error
        self.checkpointer.mark(saved=True)


def by_split(split: str, metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics with the split as prefix: `val/loss`."""
    return {f"{split}/{name}": value for name, value in metrics.items()}
