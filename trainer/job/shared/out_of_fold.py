"""Writes what a run with dataset.folds predicts for its own fold, which it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.storage import out_of_fold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from trainer.dataset import Data
    from trainer.training.evaluate import Evaluation

MOST = 20_000_000  # probabilities in the file: of more, p_y and the prediction's alone are there

Column = tuple[str, "Iterable[Any]"]


def write(folder: Path, fold: int, evaluation: Evaluation, data: Data) -> Path:
    """Write `out_of_fold.csv`, a row for each example of val, to the folder of a run.

    Outputs are without postprocessing, which was fitted on these examples.
    """
    names, columns = zip(*columns_of(fold, evaluation, data), strict=True)
    return out_of_fold.write_rows(folder, names, zip(*columns, strict=True))


def columns_of(fold: int, evaluation: Evaluation, data: Data) -> list[Column]:
    """List the columns as pairs of a name and n values."""
    ids, records = evaluation.ids.tolist(), evaluation.records
    columns: list[Column] = [("id", ids)]
    if (paths := getattr(data.val.images, "paths", None)) is not None:
        columns.append(("path", [paths[i] for i in ids]))
    losses = records["loss"].reshape(len(ids), -1).mean(1)
    columns += [("fold", [fold] * len(ids)), ("loss", exact(losses.tolist()))]
    if "prediction" not in records or records["prediction"].ndim != 1:
        return columns
    p, classes = evaluation.outputs.softmax(1), data.classes
    columns += [
        ("label", [classes[i] for i in records["label"].tolist()]),
        ("prediction", [classes[i] for i in records["prediction"].tolist()]),
        ("confidence", exact(p.amax(1).tolist())),
        ("p_y", exact(records["confidence"].tolist())),
    ]
    if p.numel() <= MOST:
        columns += [(f"p_{name}", exact(p[:, i].tolist())) for i, name in enumerate(classes)]
    return columns


def exact(values: list[float]) -> list[str]:
    """Format float32 [n] with enough digits to recover the same numbers."""
    return [f"{value:.9g}" for value in values]
