"""The difficulty store: a record of every training example in every epoch, by dataset id.

The records of the current epoch are on the device. At its end they are appended to the files of
`examples/` in the run folder: `<field>.bin` is an array [epochs, M], its dtype in `meta.json`, M
being the size of the data source. `open(run)` reads them.

The fields of a classifier, p_y being the probability of the label y: `confidence` is p_y; `correct`
is 1 if the prediction is y; `logit_margin` is z_y − max z_other, whose mean over the epochs is the
AUM (area under the margin, Pleiss et al. 2020, https://arxiv.org/abs/2001.10528); `el2n` is the
length of p − onehot(y) (Paul et al. 2021, https://arxiv.org/abs/2107.07075).

Where an example has several labels, each class is a question whose right answer has a probability
and a logit: `confidence` is the mean probability; `correct` is 1 if every answer is right;
`logit_margin` is the lowest logit and `doubt` the class it belongs to; `el2n` is the length of p −
y.

Where images have boxes, `confidence` is the mean probability of the classes at the anchors or
regions that are matched with them, and `object_loss` and `object_confidence` are [epochs, M, N],
of each of the N boxes in `boxes.npy` [M, N, 5]; NaN for one of which nothing was judged.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, DataError, disk_error
from trainer.core.npy import mapped
from trainer.core.state import match
from trainer.core.text import count
from trainer.history.analysis import UNSEEN, History
from trainer.report.strict_json import dumps
from trainer.storage.untrusted import check_file, read_json

FLOATS = ("loss", "confidence", "logit_margin", "el2n", "iou", "absolute_error")
OF_OBJECTS = ("object_loss", "object_confidence")
DTYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((*FLOATS, *OF_OBJECTS), ("float16",)),
    "correct": ("uint8",),
    **dict.fromkeys(("prediction", "doubt"), ("int16", "int32")),  # by the number of classes
}
MOST = 2**15  # classes that int16 numbers
UNREADABLE = (  # what a damaged or hostile folder raises
    CheckpointError,
    OSError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
)


class DifficultyStore:
    """Collects the records of the current epoch, and appends them to the files of earlier ones.

    If an example is seen twice in an epoch, the later record counts. Rows that blend several
    examples are skipped, so that every record is of the example's own image (augmented, not
    mixed). The margin of the probabilities is not stored: it is p_y (1 − exp(−logit_margin)).
    """

    def __init__(
        self,
        folder: Path,
        size: int,
        fields: tuple[str, ...],
        device: torch.device,
        *,
        classes: int = 0,
        objects: int = 0,
    ) -> None:
        self.folder = folder
        self.size = size
        self.device = device
        place = -1 if classes > MOST else 0
        self.objects = objects  # N, boxes that an image may have
        of_objects = OF_OBJECTS if objects else ()
        self.dtypes = {name: DTYPES[name][place] for name in ("loss", *fields, *of_objects)}
        self.rows: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Start an epoch with nothing seen."""
        self.rows = {name: self.blank(name) for name in self.dtypes}

    def blank(self, name: str) -> Tensor:
        """Return a row [M], or [M, N] of objects, of a field with nothing seen."""
        dtype = self.dtypes[name]
        shape = shape_of(name, self.size, self.objects)
        return torch.full(shape, UNSEEN[dtype], dtype=getattr(torch, dtype), device=self.device)

    def add(self, ids: Tensor, records: dict[str, Tensor]) -> None:
        """Record values of each field for examples `ids` [n], in the order they were seen.

        They are [n], of objects [n, N].
        """
        if self.device.type == "cpu":  # NumPy keeps the last of repeated ids, eight times as fast
            for name, row in self.rows.items():
                row.numpy()[ids.numpy()] = records[name].to(row.dtype).numpy()
            return
        order = ids.argsort(stable=True)
        grouped = ids[order]
        last = order[torch.cat([grouped[1:] != grouped[:-1], grouped.new_ones(1).bool()])]
        once = ids[last]  # without repeats: the order of index_put_ is not defined on a GPU
        for name, row in self.rows.items():
            row[once] = records[name][last].to(row.dtype)

    def describe(self, **arrays: Tensor) -> None:
        """Write what does not change: `meta.json`, and each array to `<name>.npy`.

        `ids` [n] of the training split is required; `labels`, `true_labels` and `given_labels` [M],
        `boxes` [M, N, 5], the ids `threshold` [t] of the threshold class and `keys` uint8 [M, L]
        are optional. Raises DiskError if a file cannot be written.
        """
        meta = {"version": 1, "examples": self.size, "fields": self.dtypes}
        if self.objects:
            meta["objects"] = self.objects
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, values in arrays.items():
                np.save(self.folder / f"{name}.npy", values.cpu().numpy())
            (self.folder / "meta.json").write_text(dumps(meta, indent=2), encoding="utf-8")
        except OSError as error:
            raise disk_error(error, self.folder) from error

    def flush(self, epoch: int) -> None:
        """Append the row of epoch `epoch` to each file and start the next epoch.

        Rows of this or a later epoch are overwritten; earlier rows that are missing are filled in
        as unseen. Raises DiskError if a file cannot be written.
        """
        try:
            for name, row in self.rows.items():
                with (self.folder / f"{name}.bin").open("ab") as file:
                    kept = min(file.tell() // row.nbytes, epoch)
                    file.truncate(kept * row.nbytes)
                    for values in [*[self.blank(name)] * (epoch - kept), row]:
                        file.write(values.cpu().numpy().tobytes())
        except OSError as error:
            raise disk_error(error, self.folder) from error
        self.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return the rows [M] of the current epoch by field, on the CPU."""
        return {name: row.cpu() for name, row in self.rows.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the rows of an epoch.

        Raises DataError if the data set had another size, ValueError if they are no such rows.
        """
        sizes = {row.numel() for name, row in state.items() if name not in OF_OBJECTS}
        if len(sizes) == 1 and sizes != {self.size}:
            raise DataError(
                f"the checkpoint has records of {count(max(sizes), 'example')}, the data set "
                f"has {self.size}; use the dataset settings of the run"
            )
        own = {name: self.blank(name) for name in self.dtypes}
        self.rows = {name: row.to(self.device) for name, row in match(own, state).items()}


def open(run: str | Path) -> History:  # noqa: A001  (read as history.open)
    """Open the difficulty store of a run folder. Raises DataError if it is absent or damaged.

    >>> import trainer
    >>> history = trainer.history.open("outputs/2026-11-22/10-15-00-3f2a")
    >>> history["loss"].shape  # epochs, training examples in the order of history.ids
    (30, 1294)
    >>> history.hardest(3)  # dataset ids, by the mean loss of the last epochs
    array([1658,  905,   37])
    >>> history.suspects().ids[:20]  # most likely to be labelled wrongly, by AUM
    >>> history.data_map().spread, history.forgetting().events, history.aum()  # [1294] each
    """
    folder = Path(run) / "examples"
    try:
        meta = read_json(folder / "meta.json")
        dtypes = {name: dtype_of(name, dtype) for name, dtype in meta["fields"].items()}
        size, objects = int(meta["examples"]), int(meta.get("objects", 0))
        fields = map_fields(folder, dtypes, size, objects)
        of_objects = {name: fields.pop(name) for name in OF_OBJECTS if name in fields}
        boxes = load_boxes(folder / "boxes.npy", size, objects) if of_objects else None
        ids = load_ids(folder / "ids.npy", size)
        if ids is None:
            raise ValueError("ids.npy is missing")
        threshold = load_ids(folder / "threshold.npy", size)
        labels = load_labels(folder / "labels.npy", size)
        true_labels = load_labels(folder / "true_labels.npy", size)
        given_labels = load_labels(folder / "given_labels.npy", size)
        for array in (labels, true_labels, given_labels):
            check_answers(array, dtypes)
        keys = load_keys(folder / "keys.npy", size)
    except UNREADABLE as error:
        raise DataError(f"{folder} has no readable difficulty store: {error}") from error
    described = labels, true_labels, threshold, given_labels
    return History(ids, fields, *described, objects=of_objects, boxes=boxes, keys=keys)


def shape_of(field: str, size: int, objects: int) -> tuple[int, ...]:
    """The shape of a field in one epoch: [M], or [M, N] of objects."""
    return (size, objects) if field in OF_OBJECTS else (size,)


def dtype_of(field: str, dtype: object) -> str:
    """The dtype of a field that `meta.json` names. Raises ValueError for one it cannot have."""
    if dtype not in DTYPES[field]:
        raise ValueError(f"{field} cannot be {dtype!r:.80}")
    return str(dtype)


def load_ids(path: Path, size: int) -> np.ndarray | None:
    """Load dataset ids [n]; None if there is no file. Raises ValueError outside [0, size)."""
    ids = load_numbers(path, "iu")
    if ids is not None and not ((ids >= 0) & (ids < size)).all():
        raise ValueError(f"{path.name} has ids outside [0, {size})")
    return ids


def load_labels(path: Path, size: int) -> np.ndarray | None:
    """Load numbers [M] or multi-hot labels bool [M, C] of `size` examples; None without a file.

    Raises ValueError for any other array.
    """
    labels = load_numbers(path, "iuf", multi_hot=True)
    if labels is not None and len(labels) != size:
        raise ValueError(
            f"{path.name} has {count(len(labels), 'number')} for {count(size, 'example')}"
        )
    return labels


def load_boxes(path: Path, size: int, objects: int) -> np.ndarray:
    """Load boxes [M, N, 5]. Raises ValueError for any other array, CheckpointError for a link."""
    check_file(path)
    boxes = mapped(path)
    if boxes.shape != (size, objects, 5) or boxes.dtype != np.float32:
        raise ValueError(f"{path.name} holds {boxes.dtype}s of shape {list(boxes.shape)}")
    return np.array(boxes)


def load_keys(path: Path, size: int) -> np.ndarray | None:
    """Load keys as text [M], from UTF-8 in uint8 [M, L], or other bytes; None without.

    Raises ValueError for any other array, CheckpointError for a link.
    """
    if not path.exists():
        return None
    check_file(path)
    keys = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    if keys.ndim != 2 or keys.dtype != np.uint8 or len(keys) != size or not keys.size:
        raise ValueError(f"{path.name} holds {keys.dtype}s of shape {list(keys.shape)}")
    return np.char.decode(keys.view(f"S{keys.shape[1]}")[:, 0], "utf-8", "surrogateescape")


def check_answers(labels: np.ndarray | None, fields: Iterable[str]) -> None:
    """Raise ValueError for labels [M] with the fields of labels [M, C], or the other way round."""
    wrong = "doubt" if labels is not None and labels.ndim == 1 else "prediction"
    if labels is not None and wrong in fields:
        raise ValueError(f"labels of shape {list(labels.shape)} have no {wrong}")


def load_numbers(path: Path, kinds: str, *, multi_hot: bool = False) -> np.ndarray | None:
    """Load a vector whose dtype is of one of NumPy's `kinds`; None if there is no file.

    With `multi_hot`, a bool array [M, C] will do too. Raises ValueError for any other array,
    CheckpointError for a link.
    """
    if not path.exists():
        return None
    check_file(path)
    numbers = np.array(mapped(path))
    fits = numbers.ndim == 1 and numbers.dtype.kind in kinds
    if not fits and not (multi_hot and numbers.ndim == 2 and numbers.dtype == np.bool_):
        raise ValueError(f"{path.name} holds {numbers.dtype}s of shape {list(numbers.shape)}")
    return numbers


def map_fields(
    folder: Path, dtypes: dict[str, str], size: int, objects: int
) -> dict[str, np.ndarray]:
    """Map each field's file as an array [epochs, M, ...], of the epochs that all files contain."""
    paths = {name: folder / f"{name}.bin" for name in dtypes}
    for path in paths.values():
        check_file(path)
    shapes = {name: shape_of(name, size, objects) for name in dtypes}
    widths = {name: math.prod(shapes[name]) * np.dtype(dtypes[name]).itemsize for name in dtypes}
    if min(widths.values()) <= 0:
        raise ValueError(f"meta.json has {size} examples of {objects} objects")
    epochs = min(paths[name].stat().st_size // widths[name] for name in dtypes)
    if not epochs:
        return {name: np.empty((0, *shapes[name]), dtype) for name, dtype in dtypes.items()}
    return {
        name: np.memmap(paths[name], dtype, "r", shape=(epochs, *shapes[name]))
        for name, dtype in dtypes.items()
    }
