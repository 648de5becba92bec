"""What runs with dataset.folds predict for the fold that each was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.core.errors import ConfigError, DataError
from trainer.dataset.shared.decode import printable
from trainer.history.confident_joint import estimate
from trainer.history.pictures import class_name
from trainer.job.shared.cutoff import Scored, select
from trainer.job.shared.suggested import suggested
from trainer.report.csv_file import escape_formula
from trainer.storage import out_of_fold

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

    from trainer.dataset import Data
    from trainer.history.analysis import Suspects
    from trainer.history.confident_joint import LabelErrors
    from trainer.job.shared.cutoff import Cutoff
    from trainer.storage.out_of_fold import OutOfFold
    from trainer.training.evaluate import Evaluation

MOST = 20_000_000  # logits in the file: of more, p_y and the prediction alone are there

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
    if "group" in records:
        columns.append(("group", [data.groups[i] for i in records["group"].tolist()]))
    if data.target == "multilabel":
        labels, predicted = records["label"].bool(), evaluation.outputs > 0
        p = evaluation.outputs.sigmoid()
    elif "prediction" in records and records["prediction"].ndim == 1:
        labels, predicted = records["label"], records["prediction"]
        p = evaluation.outputs.softmax(1)
    else:
        return columns + measured(records, data.classes)
    columns += [
        ("label", names_of(labels.numpy(), data.classes)),
        ("prediction", names_of(predicted.numpy(), data.classes)),
        ("p_y", exact(records["confidence"].tolist())),
    ]
    if p.numel() <= MOST:
        for prefix, values in (("p_", p), (out_of_fold.LOGIT, evaluation.outputs)):
            columns += by_class(prefix, values, data.classes)
    return columns


def by_class(prefix: str, values: Tensor, classes: tuple[str, ...]) -> list[Column]:
    """List the columns of values [n, C], whose names are a prefix and a class."""
    return [(f"{prefix}{name}", exact(values[:, i].tolist())) for i, name in enumerate(classes)]


def measured(records: dict[str, Tensor], classes: tuple[str, ...]) -> list[Column]:
    """List what the metrics of masks or of numbers are computed from, as far as it is recorded."""
    columns: list[Column] = []
    for name in ("intersection", "union"):
        if name in records and records[name].numel() <= MOST:
            columns += by_class(f"{name}_", records[name], classes)
    errors = (name for name in out_of_fold.ERRORS if name in records)
    return columns + [(name, exact(records[name].tolist())) for name in errors]


def names_of(labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    """The names of classes [n], or of several for each example, bool [n, C]: `dog;car`."""
    if labels.ndim == 1:
        return [class_name(classes, c) for c in labels]
    return [";".join(classes[c] for c in np.flatnonzero(row)) for row in labels]


def exact(values: list[float]) -> list[str]:
    """Format float32 [n] with enough digits to recover the same numbers."""
    return [f"{value:.9g}" for value in values]


def read(run: Path, data: Data) -> tuple[OutOfFold, np.ndarray]:
    """What the sweep of a run has pooled, and the labels [n] of its examples.

    Raises ConfigError where the run is of no sweep over folds, DataError where the data set has
    other examples or labels.
    """
    pooled = out_of_fold.pooled(run)
    if pooled is None:
        raise ConfigError(
            f"job.by=out_of_fold: {run.parent} has no {out_of_fold.FILE} with {run.name}; give a "
            "run of a sweep such as -m dataset.folds=5 dataset.fold=0,1,2,3,4"
        )
    given = data.train.labels.clone()
    given[data.val.ids] = data.val.labels[data.val.ids]
    inside = (pooled.ids >= 0) & (pooled.ids < len(given))
    labels = given.numpy()[pooled.ids * inside]
    names = map(escape_formula, names_of(labels, data.classes))
    if not inside.all() or list(names) != pooled.labels:
        raise DataError(
            f"{run.parent / out_of_fold.FILE} has other examples or labels than the data set; use "
            "the seed and the dataset settings of the run"
        )
    return pooled, labels


def suspects(
    run: Path, data: Data, cutoff: Cutoff, most: int
) -> tuple[Suspects, list[dict[str, str]], LabelErrors | None]:
    """The examples of all folds by the probability of their label out of fold, the lowest first.

    Northcutt et al. 2021, https://arxiv.org/abs/1911.00068, call this self-confidence. Without an
    estimate of the errors, labels at most 1 / C are flagged (with several labels for an image,
    whose probability is the mean of the answers', 1/2): below it the label is worse than a guess.
    Also returns a row for each of the first `most` examples, or for all that are flagged, and the
    label errors expected, None where the file lacks the probabilities of the classes.
    """
    pooled, labels = read(run, data)
    truth = None if data.true_labels is None else data.true_labels.numpy()[pooled.ids]
    guess = 1 / 2 if data.target == "multilabel" else 1 / len(data.classes)
    p = None if data.target == "multilabel" else out_of_fold.probabilities(run, data.classes)
    expected = None if p is None else estimate(p, labels)
    wrong = None if truth is None else labels != truth
    scored = Scored(pooled.ids, pooled.p_y, -1.0, wrong, np.empty(0), guess)
    found = select(scored, cutoff, expected)
    order = np.argsort(pooled.p_y, kind="stable")[: max(most, found.flagged)]
    columns: dict[str, list[str]] = {
        "rank": [str(rank + 1) for rank in range(len(order))],
        "id": [str(i) for i in pooled.ids[order]],
        "label": names_of(labels[order], data.classes),
    }
    if truth is not None:
        columns["true_label"] = names_of(truth[order], data.classes)
    columns |= {
        "prediction": [pooled.predictions[i] for i in order],
        "fold": [str(fold) for fold in pooled.folds[order]],
        "p_y": [f"{p:.3f}" for p in pooled.p_y[order]],
        "loss": [f"{loss:.3f}" for loss in pooled.loss[order]],
    }
    if p is not None:
        columns |= suggested(data, p[order], labels[order])
    elif labels.ndim == 1:  # of many classes the prediction alone is known
        written = {escape_formula(name): name for name in data.classes}
        names = [written.get(name, name) for name in columns["prediction"]]
        pairs = zip(names, columns["label"], strict=True)
        columns["suggested"] = ["" if name == label else name for name, label in pairs]
        columns["suggested_p"] = [""] * len(order)
    if (paths := getattr(data.train.images, "paths", None)) is not None:
        columns["path"] = [printable(paths[i]) for i in pooled.ids[order]]
    rows = zip(*columns.values(), strict=True)
    return found, [dict(zip(columns, row, strict=True)) for row in rows], expected
