"""The rows of `hardest.csv` and `suspects.csv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.core.text import listed, plain
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.texts import Texts
from trainer.history.analysis import History
from trainer.history.dynamics import labels_of, mean_probabilities
from trainer.history.pictures import class_name
from trainer.job.shared.suggested import suggested
from trainer.report.csv_file import write_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trainer.dataset import Data

Row = dict[str, str]
LAST = "path", "text"  # columns
LATELY = {0.0: "wrong", 1.0: "right"}  # by the field `correct`


def measures(store: History, last: int) -> dict[str, np.ndarray]:
    """Return mean losses, and p_y and AUM if the task records them, as [n] by column."""
    columns = {"loss": store.mean("loss"), "last_loss": store.mean("loss", last)}
    for column, field in {"p_y": "confidence", "aum": "logit_margin"}.items():
        if field in store.fields:
            columns[column] = store.mean(field)
    return columns


def rows_of(
    store: History, data: Data, values: dict[str, np.ndarray], ids: np.ndarray
) -> list[Row]:
    """Return a row for each of the dataset ids [k], with every value as text."""
    places = store.positions_of(ids)
    columns: dict[str, Sequence[str]] = {
        "rank": [str(rank + 1) for rank in range(len(ids))],
        "id": [str(i) for i in ids],
    }
    if store.labels is not None and "prediction" in store.fields:
        forgetting = store.forgetting()
        columns["label"] = class_names(data, store.labels[ids])
        if store.true_labels is not None:
            columns["true_label"] = class_names(data, store.true_labels[ids])
        if store.given_labels is not None:
            columns["given_label"] = class_names(data, store.given_labels[ids])
        columns["prediction"] = class_names(data, store.latest("prediction")[places])
        right = store.latest("correct")[places]
        columns["lately"] = [LATELY.get(value, "") for value in right.tolist()]
        columns["forgotten"] = [
            str(forgetting.events[place]) if forgetting.learned[place] else "unlearned"
            for place in places
        ]
    if store.labels is not None and "doubt" in store.fields:  # several labels
        columns["label"] = listed(data.classes, store.labels[ids].tolist())
        columns["doubt"] = class_names(data, store.latest("doubt")[places])
    for name, numbers in values.items():
        columns[name] = [f"{number:.3f}" for number in numbers[places]]
    paths = getattr(data.train.images, "paths", None)
    if paths is not None:
        columns["path"] = [printable(paths[i]) for i in ids]
    if isinstance(data.train.images, Texts):
        texts = data.train.images.texts
        columns["text"] = [plain(texts[int(i)]) for i in ids]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def class_names(data: Data, classes: np.ndarray) -> list[str]:
    """Return the names of class indices [k], empty where the index is NaN."""
    return [class_name(data.classes, c) for c in classes]


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write the rows as CSV with a header."""
    write_csv(path, [list(rows[0]) if rows else ["rank"], *(row.values() for row in rows)])


def with_suggestions(
    rows: Sequence[Row], stores: Sequence[History], data: Data, ids: np.ndarray
) -> list[Row]:
    """The rows of the dataset ids [k], with the likeliest other class before path and text."""
    p = mean_probabilities(stores, ids, len(data.classes))
    columns = suggested(data, p, labels_of(stores[0])[ids])
    pairs = (
        dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)
    )
    return [
        {k: v for k, v in row.items() if k not in LAST}
        | own
        | {name: row[name] for name in LAST if name in row}
        for row, own in zip(rows, pairs, strict=True)
    ]
