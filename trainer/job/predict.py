"""Table of a trained run's predictions, one row per example of a split."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from trainer.core.text import listed
from trainer.job.base import Job
from trainer.job.evaluate import Predict as PredictRuns
from trainer.job.evaluate import summary
from trainer.report.csv_file import write_csv
from trainer.trained.predictions import Predictions
from trainer.trained.tta import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder


Column = tuple[str, "Iterable[Any]"]  # a name and N values


class Predict(Job):
    """Writes `predictions.csv` for `run`, a run folder or a checkpoint, on `split`.

    One row per example, in dataset order. Columns: `id`; for class labels `label`, `prediction`,
    `confidence` (probability of the prediction) and `p_y` (probability of the label); `loss` (the
    run's own); `seen` (1 if the run was trained on the example); for class labels a probability
    `p_<class>` for each class. With several labels, `label` and `prediction` are names joined by
    `;`, and each class has its probability and the decision `is_<class>`, 1 or 0.

    The probabilities of several `runs` are averaged; `tta` averages them over views of each image.
    """

    def __init__(self, *, tta: View | list[View] = "none") -> None:
        self.tta: View | list[View] = tta

    def __call__(
        self, *, predict: PredictRuns, folder: RunFolder, console: Console
    ) -> dict[str, Any]:
        """Predict, write the table and return metrics and its path."""
        predictions = predict(self.tta)
        path = folder.path / "predictions.csv"
        names, columns = zip(*columns_of(predictions), strict=True)
        write_csv(path, chain([names], zip(*columns, strict=True)))
        console.say(
            f"{' and '.join(map(str, predictions.checkpoints))} on {predictions.split}: "
            f"{len(predictions.evaluation.ids)} examples, {int(predictions.seen.sum())} of them "
            "seen in training"
        )
        console.say(f"predictions   {path}")
        return {**summary(predictions), "predictions": str(path)}


def columns_of(predictions: Predictions) -> list[tuple[str, Iterable[Any]]]:
    """List the columns as pairs of a name and N values."""
    evaluation, classes = predictions.evaluation, predictions.classes
    records, ids = evaluation.records, evaluation.ids
    losses = records["loss"].reshape(len(ids), -1).mean(1)  # of a mask: the mean over pixels
    by_label: list[tuple[str, Iterable[Any]]] = []
    probabilities: list[tuple[str, Iterable[Any]]] = []
    if "prediction" in records and records["prediction"].ndim == 1:
        p = evaluation.outputs.softmax(1)
        by_label = [
            ("label", (classes[i] for i in records["label"].tolist())),
            ("prediction", (classes[i] for i in records["prediction"].tolist())),
            ("confidence", exact(p.amax(1))),
            ("p_y", exact(records["confidence"])),
        ]
        probabilities = [(f"p_{name}", exact(p[:, i])) for i, name in enumerate(classes)]
    elif "logit" in records:
        by_label, probabilities = columns_of_several(predictions)
    common = [("loss", exact(losses)), ("seen", predictions.seen.int().tolist())]
    return [("id", ids.tolist()), *by_label, *common, *probabilities]


def columns_of_several(predictions: Predictions) -> tuple[list[Column], list[Column]]:
    """List the columns of multi-label predictions: sets of names; then two for each class.

    Probabilities are σ of the outputs before any thresholds, which move decisions only.
    """
    records, classes = predictions.evaluation.records, predictions.classes
    decisions = records["logit"] > 0
    p = next(iter(predictions.columns.values())).outputs.sigmoid()
    by_label: list[Column] = [
        ("label", listed(classes, records["label"].tolist())),
        ("prediction", listed(classes, decisions.tolist())),
    ]
    each = [
        ((f"p_{name}", exact(p[:, i])), (f"is_{name}", decisions[:, i].int().tolist()))
        for i, name in enumerate(classes)
    ]
    return by_label, [column for pair in each for column in pair]


def exact(values: Tensor) -> Iterator[str]:
    """Format float32 [N] with enough digits to recover the same numbers."""
    return (f"{value:.9g}" for value in values.tolist())
