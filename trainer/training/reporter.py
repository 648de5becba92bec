"""What a run shows while it trains: lines, curves, pictures."""

import json
from collections.abc import Mapping
from typing import Any

from torch import nn

from trainer.config.flatten import flatten
from trainer.core.batch import Batch
from trainer.core.forward import Forward
from trainer.core.plan import Plan, class_counts
from trainer.dataset import Data
from trainer.report.console import Console
from trainer.report.images import confusion, confusion_matrix, grid
from trainer.report.log import Log
from trainer.training.evaluate import Evaluation

PICTURES = 32  # images in the grid of inputs
NOT_CHOSEN = (  # settings that say nothing of the experiment
    *("checkpoint", "compare", "compile", "debug", "device", "eval_batch_size", "job", "loader"),
    *("log", "max_skips", "nonfinite", "quiet", "resume", "resume_allow", "run", "runs", "split"),
    *("strategy", "threads"),
)
DETAILS = 10  # times a run that weights and confusion matrices are shown


class Reporter:
    """Writes the log and the console from what the loop hands over."""

    def __init__(self, log: Log, console: Console, data: Data, epochs: int) -> None:
        self.log = log
        self.console = console
        self.data = data
        self.epochs = epochs

    def config(self, config: Mapping[str, Any]) -> None:
        """The configuration as text."""
        text = json.dumps(config, indent=2, default=str)
        self.log.show("text", "config", f"```\n{text}\n```")

    def classes(self, plan: Plan) -> None:
        """Examples of each class, and rows of each that the epoch of a plan trains on."""
        names, labels = self.data.classes, self.data.train.labels
        if not self.data.train.classed:
            return
        drawn = class_counts(plan, labels, len(names)).tolist()
        held = zip(names, self.data.class_counts().tolist(), drawn, strict=True)
        lines = [f"| {name} | {examples} | {rows:g} |" for name, examples, rows in held]
        head = ["| class | examples | rows of the first epoch |", "| --- | --- | --- |"]
        self.log.show("text", "classes", "\n".join([*head, *lines]))

    def inputs(self, batch: Batch, forward: Forward) -> None:
        """What the first training step sees: augmented, mixed."""
        images = batch.images[:PICTURES] * forward.std + forward.mean
        self.log.show("image", "inputs", grid(images), 0)

    def train(
        self, epoch: int, step: int, values: dict[str, float], rates: dict[str, float]
    ) -> None:
        """One event of the train split."""
        self.log.metrics("train", epoch=epoch, step=step, values=values, extra=rates)
        self.console.advance(step, f"loss {values.get('loss', float('nan')):.4f}")

    def epoch(
        self,
        epoch: int,
        step: int,
        train: dict[str, float],
        val: Evaluation | None,
        spent: dict[str, float],
    ) -> None:
        """The end of an epoch: a line, and the events of the validation split with the cost."""
        metrics = {f"train {name}": value for name, value in train.items()}
        if val is not None:
            self.log.metrics("val", epoch=epoch, step=step, values=val.metrics, extra=spent)
            metrics |= {f"val {n}": val.metrics[n] for n in train if n in val.metrics}
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        speed = spent["examples_seen"] / max(spent["train_seconds"], 1e-9)
        line = f"epoch {epoch + 1}/{self.epochs}  step {step}  {numbers}  {speed:,.0f} images/s"
        self.console.say(line)

    def details(self, epoch: int, step: int, model: nn.Module, val: Evaluation | None) -> None:
        """Ten times a run: distributions of the weights, and the confusion matrix."""
        if (epoch + 1) * DETAILS // self.epochs == epoch * DETAILS // self.epochs:
            return
        for name, parameter in model.named_parameters():
            if hasattr(parameter, "full_tensor"):
                continue  # a part of it is here: see trainer.distributed.fsdp
            values = parameter.detach().float().cpu().numpy()
            self.log.show("histogram", f"weights/{name}", values, step)
        if val is not None:
            self.confusion("val", step, val)

    def confusion(self, split: str, step: int, evaluation: Evaluation) -> None:
        """The confusion matrix of a split, where the task has one."""
        records, classes = evaluation.records, self.data.classes
        if "prediction" in records and len(classes) > 1:
            matrix = confusion_matrix(records["label"], records["prediction"], len(classes))
            self.log.show("image", f"confusion/{split}", confusion(matrix, classes), step)

    def test(self, epoch: int, step: int, evaluation: Evaluation) -> None:
        """The test split, read once at the end of the run."""
        self.log.metrics("test", epoch=epoch, step=step, values=evaluation.metrics)
        self.confusion("test", step, evaluation)

    def hparams(
        self, config: Mapping[str, Any], finals: Mapping[str, Evaluation], step: int
    ) -> None:
        """The run's row in the HParams tab: what was chosen, and the final metrics.

        Those of val are of the best checkpoint, so they have tags beside the curve's.
        """
        tags = {"test": "test", "val": "val_best"}
        scalars = {
            f"{tags[split]}/{name}": value
            for split, evaluation in finals.items()
            for name, value in evaluation.metrics.items()
        }
        self.log.show("scalars", {t: v for t, v in scalars.items() if t[:3] == "val"}, step)
        settings = {k: v for k, v in flatten(config) if k.split(".")[0] not in NOT_CHOSEN}
        self.log.show("hparams", settings, list(scalars))
