"""Reports training: console lines, metrics.jsonl events, TensorBoard curves and images."""

import math
from collections.abc import Mapping
from typing import Any

from torch import nn

from trainer.config.flatten import flatten
from trainer.core.batch import Batch
from trainer.core.forward import Forward
from trainer.core.plan import Plan, class_counts
from trainer.core.text import escape_markdown
from trainer.dataset import Data
from trainer.dataset.shared.words import read_back
from trainer.report.console import Console, number
from trainer.report.images import confusion, grid
from trainer.report.log import Log
from trainer.report.strict_json import dumps
from trainer.training.evaluate import Evaluation

PICTURES = 32  # images in the grid of first inputs
NOT_CHOSEN = (  # settings that do not define the experiment, so not hyperparameters
    *("checkpoint", "compare", "compile", "debug", "device", "eval_batch_size", "job", "loader"),
    *("log", "max_skips", "metrics", "nonfinite", "quiet", "resume", "resume_allow", "run", "runs"),
    *("source", "split", "strategy", "threads"),
)
HEADLINES = ("mAP",)  # metrics of val that tell more than those of training
USUAL = ("loss", "accuracy", "mae")  # of val, after an epoch that trained on no example
DETAILS = 10  # weight histograms and confusion matrices logged per run


class Reporter:
    """Writes what the training loop passes on to the log and the console."""

    def __init__(self, log: Log, console: Console, data: Data, epochs: int) -> None:
        self.log = log
        self.console = console
        self.data = data
        self.epochs = epochs
        self.columns: list[str] = []  # of the epochs' lines, as last printed

    def config(self, config: Mapping[str, Any]) -> None:
        """Log the configuration as text."""
        text = dumps(config, indent=2, default=str)
        self.log.show("text", "config", f"```\n{text}\n```")

    def classes(self, plan: Plan) -> None:
        """Log, per class, its examples and its rows in the first epoch's plan."""
        names, labels = self.data.classes, self.data.train.labels
        if self.data.target not in ("class", "multilabel"):
            return
        drawn = class_counts(plan, labels, len(names)).tolist()
        counts = zip(names, self.data.class_counts().tolist(), drawn, strict=True)
        lines = [f"| {escape_markdown(name)} | {n} | {rows:g} |" for name, n, rows in counts]
        head = ["| class | examples | rows of the first epoch |", "| --- | --- | --- |"]
        self.log.show("text", "classes", "\n".join([*head, *lines]))

    def inputs(self, batch: Batch, forward: Forward) -> None:
        """Log the first training images [B, C, H, W] as the model sees them: augmented, mixed.

        Of texts, the words.
        """
        if self.data.kind == "text":
            texts = read_back(batch.images[:PICTURES].tolist(), self.data.vocabulary)
            self.log.show("text", "inputs", "\n".join(f"1. {escape_markdown(t)}" for t in texts), 0)
            return
        images = batch.images[:PICTURES] * forward.std + forward.mean
        self.log.show("image", "inputs", grid(images), 0)

    def train(
        self, epoch: int, step: int, values: dict[str, float], rates: dict[str, float]
    ) -> None:
        """Log one event of the train split, and show its loss on the console."""
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
        """Print the epoch's line, and log its validation metrics with the cost so far."""
        known = {} if val is None else val.metrics
        names = list(train) or [name for name in USUAL if name in known]
        metrics = {f"train {name}": train.get(name, math.nan) for name in names}
        if val is not None:
            self.log.metrics("val", epoch=epoch, step=step, values=val.metrics, extra=spent)
            headlines = [name for name in HEADLINES if name in known]
            shown = ["loss", *headlines] if headlines else names  # 80 columns
            metrics |= {f"val {name}": known[name] for name in shown if name in known}
        speed = spent["examples_seen"] / max(spent["train_seconds"], 1e-9)
        cells = {"epoch": f"{epoch + 1}/{self.epochs}", "step": str(step)}
        cells |= {name: number(value) for name, value in metrics.items()}
        self.row(cells | {"images/s": f"{speed:,.0f}"})

    def row(self, cells: dict[str, str]) -> None:
        """Print the cells below the names of their columns, which are printed where they change."""
        least = {"epoch": 2 * len(str(self.epochs)) + 1, "step": 6}
        widths = [max(len(name), least.get(name, 7)) for name in cells]
        if list(cells) != self.columns:
            self.columns = list(cells)
            self.console.say("  ".join(n.rjust(w) for n, w in zip(cells, widths, strict=True)))
        texts = zip(cells.values(), widths, strict=True)
        self.console.say("  ".join(text.rjust(width) for text, width in texts))

    def details(self, epoch: int, step: int, model: nn.Module, val: Evaluation | None) -> None:
        """Log weight histograms and the confusion matrix, at ten epochs spread over the run."""
        if (epoch + 1) * DETAILS // self.epochs == epoch * DETAILS // self.epochs:
            return
        for name, parameter in model.named_parameters():
            if hasattr(parameter, "full_tensor"):
                continue  # sharded: this process has only a part (trainer.distributed.fsdp)
            values = parameter.detach().float().cpu().numpy()
            self.log.show("histogram", f"weights/{name}", values, step)
        if val is not None:
            self.confusion("val", step, val)

    def confusion(self, split: str, step: int, evaluation: Evaluation) -> None:
        """Log the confusion matrix of a split, if the task predicts classes."""
        records, classes = evaluation.records, self.data.classes
        if "prediction" in records and len(classes) > 1:
            picture = confusion(records["label"], records["prediction"], classes)
            self.log.show("image", f"confusion/{split}", picture, step)

    def test(self, epoch: int, step: int, evaluation: Evaluation) -> None:
        """Log the test split, which is evaluated once, at the end of the run."""
        self.log.metrics("test", epoch=epoch, step=step, values=evaluation.metrics)
        self.confusion("test", step, evaluation)

    def hparams(
        self, config: Mapping[str, Any], finals: Mapping[str, Evaluation], step: int
    ) -> None:
        """Log the run's row in TensorBoard's HParams tab: its settings and final metrics.

        Validation metrics are those of the best checkpoint, so they are tagged `val_best`, apart
        from the curve's.
        """
        tags = {"test": "test", "val": "val_best"}
        scalars = {
            f"{tags[split]}/{name}": value
            for split, evaluation in finals.items()
            for name, value in evaluation.metrics.items()
        }
        self.log.show("scalars", {t: v for t, v in scalars.items() if t[:3] == "val"}, step)
        settings = {k: v for k, v in flatten(config) if k.split(".")[0] not in NOT_CHOSEN}
        tested_first = sorted(scalars, key=lambda tag: not tag.startswith("test"))  # five are shown
        self.log.show("hparams", settings, tested_first)
