"""What a run predicts for the test split, an example a row, in `predictions/test.npy`.

A structured NumPy array [N] in the order of the split: `id`, the dataset id, and of a classifier
`label`, `prediction` and `p_y`, the probability of the label; of several labels an image `correct`
(every answer is right), `label_accuracy` and `p_y`, the mean probability of the right answers; of
numbers `absolute_error` and `squared_error`; of masks nothing else. 12 to 24 bytes an example.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.core.errors import CheckpointError, disk_error
from trainer.core.npy import mapped
from trainer.storage.untrusted import check_file

FILE = Path("predictions", "test.npy")
LARGEST = 2**32  # bytes
MOST = 2**20  # classes
KINDS: tuple[dict[str, str], ...] = (  # the fields of a task's rows: their dtypes
    {"label": "<i4", "prediction": "<i4", "p_y": "<f4"},
    {"correct": "<u1", "label_accuracy": "<f4", "p_y": "<f4"},
    {"absolute_error": "<f4", "squared_error": "<f4"},
    {},
)
RECORD = {"p_y": "confidence"}  # the names of records, where they differ


def write(folder: Path, ids: np.ndarray, records: Mapping[str, np.ndarray]) -> Path:
    """Write the records [N] of the examples `ids` [N] to a run's folder, whole or not at all.

    Raises DiskError.
    """
    vectors = {name: values for name, values in records.items() if values.ndim == 1}
    dtypes = next(k for k in KINDS if all(RECORD.get(name, name) in vectors for name in k))
    rows = np.empty(len(ids), [("id", "<i8"), *dtypes.items()])
    rows["id"] = ids
    for name in dtypes:
        rows[name] = vectors[RECORD.get(name, name)]
    path = folder / FILE
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(exist_ok=True)
        with unfinished.open("wb") as file:
            np.save(file, rows)
        unfinished.replace(path)
    except OSError as error:
        error.filename = str(path)  # not that of the unfinished file
        raise disk_error(error, path) from error
    return path


def read(folder: Path) -> np.ndarray | None:
    """The rows of a run's file; None where there is none, as in older runs.

    Raises CheckpointError where it is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    check_file(path, LARGEST)
    try:
        rows = np.array(mapped(path))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    known = [np.dtype([("id", "<i8"), *dtypes.items()]) for dtypes in KINDS]
    if rows.ndim != 1 or rows.dtype not in known:
        raise CheckpointError(f"{path} holds {rows.dtype} of shape {list(rows.shape)}")
    for name in ("label", "prediction"):
        if name in (rows.dtype.names or ()) and not ((rows[name] >= 0) & (rows[name] < MOST)).all():
            raise CheckpointError(f"{path} has a {name} outside [0, {MOST})")
    return rows
