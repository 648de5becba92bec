"""Epochs over steps: train, validate, checkpoint, stop."""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor, nn

from trainer.core.batch import Batch
from trainer.core.duration import Clock, Every
from trainer.core.errors import NonFiniteError
from trainer.core.plan import Plan
from trainer.core.seed import StepId
from trainer.core.signals import Signals
from trainer.dataset import Data
from trainer.early_stopping import EarlyStopping
from trainer.loader import Feed
from trainer.storage.checkpoint import Checkpoint
from trainer.training.checkpointer import Checkpointer
from trainer.training.evaluate import Evaluation, Evaluator
from trainer.training.finetune import Freeze
from trainer.training.learning_rate import LearningRate
from trainer.training.nonfinite import located
from trainer.training.planner import Planner
from trainer.training.progress import Progress, Stopwatch
from trainer.training.reporter import Reporter
from trainer.training.step import Cost, Step
from trainer.training.weight_average import cumulative


@dataclass
class Fit:
    """Trains until the run's end, early stopping, or a signal."""

    seed: int
    epochs: int
    max_steps: int | None
    clock: Clock
    model: nn.Module
    data: Data
    train_feed: Feed
    val_feed: Feed
    planner: Planner
    step: Step
    rate: LearningRate
    freeze: Freeze
    evaluator: Evaluator
    early_stopping: EarlyStopping
    saver: Checkpointer
    report: Reporter
    log_every: Every
    signals: Signals
    progress: Progress = field(default_factory=Progress)
    watch: Stopwatch = field(default_factory=Stopwatch)
    logged: tuple[int, float] = (0, 0.0)  # examples and seconds at the last event

    def __call__(self) -> None:
        """Train to the end. The last step is always saved."""
        try:
            while not self.finished():
                self.epoch()
        except NonFiniteError as error:
            self.save()  # weights and buffers are those of the step before
            p = self.progress
            plan, begin = self.planner.plan(p.epoch), p.step - p.position
            raise located(error, plan, begin, p.epoch) from error
        if self.saver.saved_step != self.progress.step:
            self.save()

    def finished(self) -> bool:
        """Whether the run has come to its end."""
        if self.progress.stopped:
            return True
        if self.max_steps is not None:
            return self.progress.step >= self.max_steps
        return self.progress.epoch >= self.epochs

    def epoch(self) -> None:
        """Train an epoch, or what is left of one, and validate."""
        p = self.progress
        if p.position == 0:
            self.planner.refresh(p.epoch, self.scan)
        plan = self.planner.plan(p.epoch)
        bounds = plan.bounds.tolist()
        self.watch.start()
        rows = self.step.share(plan, StepId(self.seed, p.epoch, p.step - p.position))
        for batch in self.train_feed.batches(rows, p.position):
            if p.step == 0:
                self.show_start(batch, plan)
            now = self.time(plan)
            p.lr = self.rate.apply(self.step.guard.optimizer, now)
            self.freeze(now)
            first_row = bounds[p.position]
            self.step(batch, StepId(self.seed, p.epoch, p.step), first_row)
            p.position += 1
            p.step += 1
            p.examples += bounds[p.position] - first_row
            ends = p.step == self.max_steps
            last = ends or p.position == plan.steps
            if self.rate.warmup.watches(p.step) and not last:
                self.show_warmup(plan)
            self.after_step(last=last)
            if ends:
                break
        self.end_epoch(plan)

    def time(self, plan: Plan) -> float:
        """The schedule's clock: steps of a full epoch that the progress amounts to."""
        full = self.clock.steps_per_epoch
        return self.progress.epoch * full + self.progress.position * (full / plan.steps)

    def show_warmup(self, plan: Plan) -> None:
        """Let the warmup see the training metrics of the epoch so far."""
        self.step.guard.read()
        self.step.meter.flush()
        self.rate.observe_training(named("train", self.step.meter.so_far()), self.time(plan))

    def scan(self, ids: Tensor) -> Tensor:
        """Ranks [n] of training examples with the model as it stands, unaugmented."""

        def ranks(outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
            losses = self.step.contract(outputs, batch)
            return {"rank": self.step.ranker(outputs, losses, batch)}

        held = self.evaluator.values(self.train_feed, ids, self.poll, ranks)
        self.step.cost.forward += len(ids)
        return held["rank"].cpu()

    def show_start(self, batch: Batch, plan: Plan) -> None:
        """The classes of the first epoch, and its first batch as the model will see it."""
        self.report.classes(plan)
        self.report.inputs(self.step.prepare(batch, StepId(self.seed, 0, 0), 0), self.step.forward)
        self.watch.start()

    def after_step(self, *, last: bool) -> None:
        """Log, save and stop where it is due; at an epoch's last step its end does so."""
        p = self.progress
        self.saver.saved_step = None
        self.report.console.advance(p.step)
        if self.log_every.after_step(p.step) and not last:
            self.log_train({})
        due = self.saver.every.after_step(p.step) and not last
        if due or self.signals.number is not None:
            self.save()
            self.signals.check()

    def poll(self) -> None:
        """In a pass that changes nothing: save and stop if a signal came."""
        if self.signals.number is not None:
            if self.saver.saved_step != self.progress.step:
                self.save()
            self.signals.check()

    def log_train(self, epoch_metrics: dict[str, float]) -> None:
        """One event of the train split: what was seen since the last, and rates."""
        p = self.progress
        self.step.guard.read()
        self.step.meter.flush()
        p.seconds += self.watch.lap()
        examples, seconds = self.logged
        speed = (p.examples - examples) / max(p.seconds - seconds, 1e-9)
        self.logged = p.examples, p.seconds
        rates = {
            "lr": p.lr,
            "grad_norm": self.step.norm.item(),
            "images_per_second": speed,
            **{
                f"lr/group{i}": g["lr"]
                for i, g in enumerate(self.step.guard.optimizer.param_groups)
            },
        }
        values = self.step.meter.take_interval() | epoch_metrics
        self.report.train(p.epoch, p.step, values, rates)

    def end_epoch(self, plan: Plan) -> None:
        """Validate, log, decide whether to stop, save."""
        p = self.progress
        self.step.guard.read()
        self.step.meter.flush()
        p.seconds += self.watch.lap()
        self.step.average.after_epoch(self.time(plan))
        val = self.validate()  # a signal in here saves the epoch's last step and ends the run
        self.watch.start()
        train = self.step.meter.take_epoch()
        self.log_train({f"epoch_{name}": value for name, value in train.items()})
        self.step.meter.store.flush(p.epoch)
        self.report.epoch(p.epoch, p.step, train, val, self.spent())
        self.report.details(p.epoch, p.step, self.model, val)
        metrics = named("train", train)
        if val is not None:
            metrics |= named("val", val.metrics)
        self.rate.observe(metrics, self.time(plan))
        p.stopped = self.early_stopping.update(metrics)
        p.epoch += 1
        p.position = 0
        self.saver.saved_step = None
        improved = val is not None and self.saver.improved(metrics, p.step)
        every = self.saver.every
        if improved or every.after_epoch(p.epoch) or every.after_step(p.step):
            self.save()

    def spent(self) -> dict[str, float]:
        """What the run has cost so far, by the names of result.json."""
        p, cost = self.progress, self.step.cost
        return {
            "examples_seen": p.examples,
            "forward_passes": cost.forward,
            "backward_passes": cost.backward,
            "train_seconds": p.seconds,
        }

    def validate(self) -> Evaluation | None:
        """The validation split, where there is one, by the averaged weights.

        Their statistics are due without one too: the checkpoint takes them.
        """
        with self.step.average.applied(self.estimate):
            if not len(self.data.val):
                return None
            return self.evaluator(self.val_feed, self.data.val, poll=self.poll)

    def estimate(self) -> None:
        """BatchNorm's statistics anew, from all training images, for weights that are a mean."""
        with cumulative(self.model):
            for _ in self.evaluator.outputs(self.train_feed, self.data.train.ids, self.poll):
                pass
        self.step.cost.forward += len(self.data.train)

    def save(self) -> None:
        """Write a checkpoint of where the run stands."""
        self.progress.seconds += self.watch.lap()
        self.step.meter.flush()
        self.saver.save(self.progress.step, self.step.average.weights(), self.state())
        self.watch.start()

    def stateful(self) -> dict[str, Any]:
        """The parts whose state a checkpoint keeps, beside the model's."""
        return {
            "optimizer": self.step.guard.optimizer,
            "scaler": self.step.guard.scaler,
            "loss": self.step.loss,
            "rate": self.rate,
            "miner": self.step.miner,
            "meter": self.step.meter,
            "history": self.step.meter.store,
            "early_stopping": self.early_stopping,
            "saver": self.saver,
        }

    def state(self) -> dict[str, Any]:
        """State of all parts but the model."""
        parts = {name: part.state_dict() for name, part in self.stateful().items()}
        progress = asdict(self.progress) | {"logged": self.logged, "cost": asdict(self.step.cost)}
        parts["average"] = self.step.average.state_dict()
        return {**parts, "progress": progress, "log": self.report.log.offset}

    def load(self, held: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.step.average.load(held.model, held.state["average"])
        groups = self.step.guard.optimizer.param_groups
        built = [{k: v for k, v in g.items() if k not in ("params", "lr")} for g in groups]
        for name, part in self.stateful().items():
            part.load_state_dict(held.state[name])
        for group, settings in zip(self.step.guard.optimizer.param_groups, built, strict=True):
            group.update(settings)  # the config's: where it may differ, it is what is asked for
        progress = dict(held.state["progress"])
        self.logged = progress.pop("logged")
        self.step.cost = Cost(**progress.pop("cost"))
        self.progress = Progress(**progress)
        self.saver.saved_step = self.progress.step


def named(split: str, metrics: dict[str, float]) -> dict[str, float]:
    """Metrics with their split: `val/loss`."""
    return {f"{split}/{name}": value for name, value in metrics.items()}
