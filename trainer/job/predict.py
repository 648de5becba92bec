"""What a trained run predicts for each example of a split, as a table."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from trainer.job.base import Job
from trainer.job.evaluate import summary
from trainer.trained.predictions import Predictions, predict
from trainer.trained.tta import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from trainer.run.run import Run


class Predict(Job):
    """Writes `predictions.csv` for `run`, a run folder or a checkpoint, on `split`.

    A row for each example, in dataset order. Columns: `id`; of classes `label`, `prediction`, its
    probability `confidence`, and `p_y` of the label; `loss`, the run's own, and `seen`, 1 where the
    run was trained on the example; of classes a probability `p_<class>` for each.

    Of several `runs` the probabilities are averaged; `tta` averages those over views of each image.
    """

    def __init__(self, *, tta: View | list[View] = "none") -> None:
        self.tta: View | list[View] = tta

    def __call__(self, run: Run) -> dict[str, Any]:
        """Predict and write."""
        reading = predict(run, self.tta)
        path = run.folder.path / "predictions.csv"
        names, columns = zip(*columns_of(reading), strict=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(zip(*columns, strict=True))
        evaluation, name = reading.evaluation, run.config["split"]
        run.console.say(
            f"{' and '.join(map(str, reading.checkpoints))} on {name}: {len(evaluation.ids)} "
            f"examples, of which {int(reading.seen.sum())} were trained on"
        )
        run.console.say(f"predictions   {path}")
        return {**summary(reading), "predictions": str(path)}


def columns_of(reading: Predictions) -> list[tuple[str, Iterable[Any]]]:
    """Name and N values of each column."""
    evaluation, classes = reading.evaluation, reading.run.data.classes
    records, ids = evaluation.records, evaluation.ids
    losses = records["loss"].reshape(len(ids), -1).mean(1)  # of a mask: its pixels' mean
    told: list[tuple[str, Iterable[Any]]] = []
    probabilities: list[tuple[str, Iterable[Any]]] = []
    if "prediction" in records and records["prediction"].ndim == 1:
        p = evaluation.outputs.softmax(1)
        told = [
            ("label", (classes[i] for i in records["label"].tolist())),
            ("prediction", (classes[i] for i in records["prediction"].tolist())),
            ("confidence", exact(p.amax(1))),
            ("p_y", exact(records["confidence"])),
        ]
        probabilities = [(f"p_{name}", exact(p[:, i])) for i, name in enumerate(classes)]
    common = [("loss", exact(losses)), ("seen", reading.seen.int().tolist())]
    return [("id", ids.tolist()), *told, *common, *probabilities]


def exact(values: Tensor) -> Iterator[str]:
    """Float32 [N] as text that reads back as the same numbers."""
    return (f"{value:.9g}" for value in values.tolist())
