"""Table of a trained run's predictions: a row per example of a split, or per image file."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from trainer.core.text import count, listed
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.letterbox import in_files
from trainer.job.base import Job
from trainer.job.evaluate import Predict as PredictRuns
from trainer.job.evaluate import summary
from trainer.job.shared.box_tables import Found
from trainer.report.boxes import COLUMNS, RIGHT, SIDE, Outline, outlined
from trainer.report.console import table
from trainer.report.csv_file import write_csv
from trainer.report.images import thumbnails
from trainer.trained.from_files import LISTED, Corrupt, FilePredictions
from trainer.trained.pixels import size_of
from trainer.trained.predictions import Predictions
from trainer.trained.tta import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.table import Table
    from torch import Tensor

    from trainer.report.console import Console
    from trainer.storage.run_folder import RunFolder

TOP = 5  # classes of a row
LIKELY = 0.5  # probability of a box that is counted and drawn
ROWS = 20  # files on the console
WIDEST = 60  # characters of a text there

PredictFiles = Callable[[str, View | list[View], Corrupt], FilePredictions]


Column = tuple[str, "Iterable[Any]"]  # a name and N values


class Predict(Job):
    """Writes `predictions.csv` for `run`, a run folder or a checkpoint, on `split` or `source`.

    Of a split, one row per example, in dataset order. Columns: `id`; where images are files,
    `path`; for class labels `label`, `prediction`, `confidence` (probability of the prediction) and
    `p_y` (probability of the label); `loss` (the run's own); `seen` (1 if the run was trained on
    the example); for class labels a probability `p_<class>` for each class. With several labels,
    `label` and `prediction` are names joined by `;`, and each class has its probability and the
    decision `is_<class>`, 1 or 0.

    Of image files without labels, one row per file: `path` (or `text`), `prediction`,
    `probability`, the next four classes as `prediction_2`, `probability_2` and so on, and, with
    `probabilities`, `p_<class>`. `predictions.png` shows the first 64 images. See
    `columns_of_files` for other labels.

    Boxes have a row each, with `class`, `score` and the edges `x0`, `y0`, `x1`, `y1` in pixels of
    the image as it is stored; `predictions.json` holds them in COCO's format.

    The probabilities of several `runs` are averaged; `tta` averages them over views of each image.
    Under `corrupt=raise` files that cannot be read end the job with exit code 3; under `skip` they
    are listed in `unreadable.csv`.
    """

    def __init__(
        self,
        *,
        tta: View | list[View] = "none",
        probabilities: bool | None = None,
        corrupt: Corrupt = "raise",
    ) -> None:
        self.tta: View | list[View] = tta
        self.probabilities = probabilities
        self.corrupt: Corrupt = corrupt

    def __call__(
        self,
        *,
        predict: PredictRuns,
        predict_files: PredictFiles,
        source: str | None,
        folder: RunFolder,
        console: Console,
    ) -> dict[str, Any]:
        """Predict, write the table and return metrics and its path."""
        path = folder.path / "predictions.csv"
        if source is not None:
            predicted = predict_files(source, self.tta, self.corrupt)
            return self.write_files(predicted, path, console)
        predictions = predict(self.tta)
        if "verdict" in predictions.evaluation.records:
            return self.write_boxes(predictions, path, console)
        columns = columns_of(predictions, probabilities=self.probabilities is not False)
        write_columns(path, columns)
        console.say(
            f"{' and '.join(map(str, predictions.checkpoints))} on {predictions.split}: "
            f"{count(len(predictions.evaluation.ids), 'example')}, "
            f"{int(predictions.seen.sum())} of them seen in training"
        )
        console.say(f"predictions   {path}")
        return {**summary(predictions), "predictions": str(path)}

    def write_boxes(self, predictions: Predictions, path: Path, console: Console) -> dict[str, Any]:
        """Write the boxes found in a split as a table and in COCO's format."""
        assert predictions.source is not None  # noqa: S101  (of a split)
        found = Found.of_split(predictions.source, predictions.evaluation.records)
        found.write_table(path, predictions.classes)
        found.write_coco(path.with_suffix(".json"), predictions.classes)
        number = count(len(found.rows()), "box", plural="boxes", form=",")
        console.say(
            f"{' and '.join(map(str, predictions.checkpoints))} on {predictions.split}: {number} "
            f"in {count(len(found.ids), 'image', form=',')}"
        )
        console.say(f"predictions   {path} and {path.with_suffix('.json').name}")
        return {**summary(predictions), "predictions": str(path)}

    def write_files(
        self, predicted: FilePredictions, path: Path, console: Console
    ) -> dict[str, Any]:
        """Write the table, the picture and the list of unreadable files; print the first rows."""
        if predicted.trained_on.target == "boxes":
            columns = write_boxes(predicted, path)
        else:
            columns = columns_of_files(predicted, probabilities=self.probabilities is True)
            write_columns(path, columns.items())
        if predicted.first:
            Image.fromarray(picture(predicted, columns)).save(path.with_suffix(".png"))
        if bad := predicted.unreadable:
            unreadable = path.with_name("unreadable.csv")
            write_csv(unreadable, [("path", "reason"), *bad.items()])
            names = ", ".join(map(printable, list(bad)[:LISTED]))
            more = ", ..." if len(bad) > LISTED else ""
            number = count(len(bad), predicted.trained_on.kind)
            console.warn(f"{number} cannot be read: {names}{more}; see {unreadable}")
        console.say(first_rows(predicted, columns))
        console.say(f"predictions   {path}")
        if predicted.first:
            console.say(f"pictures      {path.with_suffix('.png')}")
        checkpoints = [str(checkpoint) for checkpoint in predicted.checkpoints]
        return {
            "checkpoint": checkpoints if len(checkpoints) > 1 else checkpoints[0],
            f"{predicted.trained_on.kind}s": len(predicted.paths),
            "unreadable": len(bad),
            "predictions": str(path),
        }


def write_boxes(predicted: FilePredictions, path: Path) -> dict[str, list[Any]]:
    """Write the boxes in files as a table and in COCO's format; return how many each has.

    Those that are more likely than not.
    """
    about, values = predicted.trained_on, predicted.values.numpy()
    sizes = np.array([size_of(file) for file in predicted.paths]).reshape(-1, 2)
    edges = in_files(values[..., 2:], sizes, about.shape[1:], about.fit)
    kinds = values[..., 0].astype(np.int64)
    ids = list(range(len(kinds)))
    found = Found(ids, predicted.paths, sizes, edges, values[..., 1], kinds)
    found.write_table(path, about.classes)
    found.write_coco(path.with_suffix(".json"), about.classes)
    likely = ((kinds > 0) & (values[..., 1] >= LIKELY)).sum(1)
    return {
        "path": predicted.paths,
        "prediction": [count(int(n), "box", plural="boxes") for n in likely],
    }


def write_columns(path: Path, columns: Iterable[tuple[str, Iterable[Any]]]) -> None:
    """Write columns, pairs of a name and N values, as a CSV file."""
    names, values = zip(*columns, strict=True)
    write_csv(path, chain([names], zip(*values, strict=True)))


def columns_of(
    predictions: Predictions, *, probabilities: bool = True
) -> list[tuple[str, Iterable[Any]]]:
    """List the columns of a split as pairs of a name and N values."""
    evaluation, classes = predictions.evaluation, predictions.classes
    records, ids = evaluation.records, evaluation.ids
    losses = records["loss"].reshape(len(ids), -1).mean(1)  # of a mask: the mean over pixels
    by_label: list[tuple[str, Iterable[Any]]] = []
    by_class: list[tuple[str, Iterable[Any]]] = []
    if "prediction" in records and records["prediction"].ndim == 1:
        p = evaluation.outputs.softmax(1)
        by_label = [
            ("label", (classes[i] for i in records["label"].tolist())),
            ("prediction", (classes[i] for i in records["prediction"].tolist())),
            ("confidence", exact(p.amax(1))),
            ("p_y", exact(records["confidence"])),
        ]
        if probabilities:
            by_class = [(f"p_{name}", exact(p[:, i])) for i, name in enumerate(classes)]
    elif "logit" in records:
        by_label, by_class = columns_of_several(predictions)
    common = [("loss", exact(losses)), ("seen", predictions.seen.int().tolist())]
    paths = [] if predictions.paths is None else [("path", predictions.paths)]
    return [("id", ids.tolist()), *paths, *by_label, *common, *by_class]


def columns_of_files(predicted: FilePredictions, *, probabilities: bool) -> dict[str, list[Any]]:
    """The columns of files without labels by name, N values each.

    With several labels per image, `prediction` joins the classes that are present by `;`, and
    `probability` is that of the most probable class. Of a regression: `prediction` or, of several
    numbers, `prediction_<n>`.
    """
    about, values = predicted.trained_on, predicted.values
    if about.target == "vector":
        numbers = [list(exact(column)) for column in values.T]
        names = [f"prediction_{i}" for i in range(len(numbers))] if len(numbers) > 1 else []
        return {
            predicted.column: predicted.paths,
            **dict(zip(names or ["prediction"], numbers, strict=True)),
        }
    classes = about.classes
    best = values.topk(min(TOP, len(classes)), 1)
    columns: dict[str, list[Any]] = {predicted.column: predicted.paths}
    for rank in range(best.indices.shape[1]):
        suffix = f"_{rank + 1}" if rank else ""
        columns[f"prediction{suffix}"] = [classes[i] for i in best.indices[:, rank].tolist()]
        columns[f"probability{suffix}"] = list(exact(best.values[:, rank]))
    if predicted.thresholds is not None:
        rows = (values > predicted.thresholds).tolist()
        columns["prediction"] = [";".join(compress(classes, row)) for row in rows]
    if probabilities:
        columns |= {f"p_{name}": list(exact(values[:, i])) for i, name in enumerate(classes)}
    return columns


def picture(predicted: FilePredictions, columns: dict[str, list[Any]]) -> np.ndarray:
    """Draw the first files, uint8 [H, W, 3], each above its prediction and its name."""
    captions = []
    if predicted.trained_on.target == "boxes":
        return boxes_picture(predicted, columns)
    for i in range(len(predicted.first)):
        lines = [str(values[i]) for name, values in columns.items() if name == "prediction"]
        if "probability" in columns:
            lines.append(f"{float(columns['probability'][i]):.0%}")
        captions.append([*lines, Path(predicted.paths[i]).name])
    return thumbnails(torch.stack(predicted.first).numpy(), captions)


def boxes_picture(predicted: FilePredictions, columns: dict[str, list[Any]]) -> np.ndarray:
    """Draw the first files with the boxes that are more likely than not."""
    classes, drawn = predicted.trained_on.classes, []
    for pixels, rows in zip(predicted.first, predicted.values.tolist(), strict=False):
        outlines = [
            Outline(edges, RIGHT, f"{classes[int(kind) - 1]} {score:.0%}", below=True)
            for kind, score, *edges in rows
            if kind and score >= LIKELY
        ]
        drawn.append(outlined(pixels.numpy(), outlines))
    names = (Path(path).name for path in predicted.paths)
    captions = [[said, name] for said, name in zip(columns["prediction"], names, strict=True)]
    return thumbnails(np.stack(drawn), captions[: len(drawn)], longest=SIDE, columns=COLUMNS)


def first_rows(predicted: FilePredictions, columns: dict[str, list[Any]]) -> Table:
    """Make a console table of the first files."""
    number = len(predicted.paths)
    rows = [[printable(path)] for path in predicted.paths[:ROWS]]
    if predicted.column == "text":
        rows = [[text[:WIDEST]] for (text,) in rows]
    shown = [name for name in columns if name in ("prediction", "probability")]
    for name in shown:
        text = name == "prediction" and predicted.trained_on.target != "vector"
        for row, cell in zip(rows, columns[name], strict=False):
            row.append(cell if text else f"{float(cell):.4f}")
    checkpoints = " and ".join(map(str, predicted.checkpoints))
    title = f"{checkpoints} on {count(number, predicted.trained_on.kind, form=',')}"
    more = f", the first {ROWS}" if number > ROWS else ""
    return table(title + more, [predicted.column, *shown], rows)


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
