"""The difficulty store: one record per training example and epoch, by dataset id.

On the device during the epoch; one row per epoch is appended to each file of `examples/`:
`<field>.bin` is an array [epochs, M] of the type that `meta.json` names. `open(run)` reads it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import CheckpointError, DataError, DiskError
from trainer.history.analysis import UNSEEN, History
from trainer.storage.untrusted import check_file, read_json

FLOATS = ("loss", "confidence", "logit_margin", "el2n", "iou", "absolute_error")
UNFIT = (
    CheckpointError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    ZeroDivisionError,
)
DTYPES = dict.fromkeys(FLOATS, "float16") | {"correct": "uint8", "prediction": "int16"}


class DifficultyStore:
    """Records of the epoch that runs, and the files of those before it.

    The last record of an example in an epoch stands. Rows that blend several examples are skipped,
    so every record is of the example's own image (augmented, not mixed). `logit_margin` is the
    label's logit − the largest other; with `confidence`, p_y, it gives the margin of the
    probabilities: p_y (1 − exp(−logit_margin)).
    """

    def __init__(
        self, folder: Path, size: int, fields: tuple[str, ...], device: torch.device
    ) -> None:
        self.folder = folder
        self.size = size
        self.device = device
        self.dtypes = {name: DTYPES[name] for name in ("loss", *fields)}
        self.rows: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin an epoch: nothing seen."""
        self.rows = {name: self.blank(name) for name in self.dtypes}

    def blank(self, name: str) -> Tensor:
        """A row [M] of a field with nothing seen."""
        dtype = self.dtypes[name]
        kind = getattr(torch, dtype)
        return torch.full((self.size,), UNSEEN[dtype], dtype=kind, device=self.device)

    def add(self, ids: Tensor, records: dict[str, Tensor]) -> None:
        """Record values [n] of the examples ids [n], in the order they were seen."""
        if (
            self.device.type == "cpu"
        ):  # NumPy's last of repeated ids stands, in an eighth of the time
            for name, row in self.rows.items():
                row.numpy()[ids.numpy()] = records[name].to(row.dtype).numpy()
            return
        order = ids.argsort(stable=True)
        grouped = ids[order]
        last = order[torch.cat([grouped[1:] != grouped[:-1], grouped.new_ones(1).bool()])]
        at = ids[last]  # each id once: index_put_ with repeats has no fixed order on a GPU
        for name, row in self.rows.items():
            values = records[name][last]
            row[at] = values.to(row.dtype)

    def describe(self, **arrays: Tensor) -> None:
        """Write what stays the same: the types; ids of the split, labels by id, and so on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, values in arrays.items():
            np.save(self.folder / f"{name}.npy", values.cpu().numpy())
        meta = {"version": 1, "examples": self.size, "fields": self.dtypes}
        (self.folder / "meta.json").write_text(json.dumps(meta, indent=2))

    def flush(self, epoch: int) -> None:
        """Write the epoch's row to each file, over any later rows, and begin the next.

        Earlier epochs that a file lacks are unseen. Raises DiskError when it cannot be written.
        """
        try:
            for name, row in self.rows.items():
                with (self.folder / f"{name}.bin").open("ab") as file:
                    held = min(file.tell() // row.nbytes, epoch)
                    file.truncate(held * row.nbytes)
                    for values in [*[self.blank(name)] * (epoch - held), row]:
                        file.write(values.cpu().numpy().tobytes())
        except OSError as error:
            raise DiskError(f"{self.folder} cannot be written: {error}") from error
        self.clear()

    def state_dict(self) -> dict[str, Any]:
        """The rows of the epoch that runs."""
        return {name: row.cpu() for name, row in self.rows.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back. Raises DataError where they are of a data set of another size."""
        sizes = {len(row) for row in state.values()}
        if sizes != {self.size}:
            raise DataError(
                f"the checkpoint has records of {max(sizes)} examples, the data set has {self.size}"
            )
        self.rows = {name: row.to(self.device) for name, row in state.items()}


def open(run: str | Path) -> History:  # noqa: A001  (read as history.open)
    """The difficulty store of a run folder. Raises DataError where there is none that is whole.

    >>> from trainer import history
    >>> held = history.open("outputs/2026-11-22/10-15-00-3f2a")
    >>> held["loss"].shape  # epochs, training examples in the order of held.ids
    (30, 1294)
    >>> held.hardest(3)  # dataset ids, by the mean loss of the last epochs
    array([1658,  905,   37])
    >>> held.suspects().ids[:20]  # most likely to be labelled wrongly, by AUM
    >>> held.data_map().spread, held.forgetting().events, held.aum()  # [1294] each
    """
    folder = Path(run) / "examples"
    try:
        meta = read_json(folder / "meta.json")
        dtypes = {name: DTYPES[name] for name in meta["fields"]}
        size = int(meta["examples"])
        fields = mapped(folder, dtypes, size)
        ids = array(folder / "ids.npy", size, places=True)
        if ids is None:
            raise ValueError("it has no ids.npy")
        threshold = array(folder / "threshold.npy", size, places=True)
        labels, true_labels = (array(folder / f"{n}.npy", size) for n in ("labels", "true_labels"))
    except UNFIT as error:
        raise DataError(f"{folder} holds no difficulty store: {error}") from error
    return History(ids, fields, labels, true_labels, threshold)


def array(path: Path, size: int, *, places: bool = False) -> np.ndarray | None:
    """A file's numbers, None where there is none: `places` below size [n], or one for each [M].

    Raises ValueError for anything else. It is mapped first: a header that tells more than the file
    holds is refused without room being made for it.
    """
    if not path.exists():
        return None
    check_file(path)
    with np.errstate(over="ignore"):  # of a size that no file has
        values = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    if values.ndim != 1 or values.dtype.kind not in ("iu" if places else "iuf"):
        raise ValueError(f"{path.name} holds {values.dtype}s of shape {list(values.shape)}")
    if places and not ((values >= 0) & (values < size)).all():
        raise ValueError(f"{path.name} is not of its {size} examples")
    if not places and len(values) != size:
        raise ValueError(f"{path.name} is not of its {size} examples")
    return values


def mapped(folder: Path, dtypes: dict[str, str], size: int) -> dict[str, np.ndarray]:
    """Each field's file as an array [epochs, M]; the epochs that all of them hold."""
    paths = {name: folder / f"{name}.bin" for name in dtypes}
    for path in paths.values():
        check_file(path)
    lengths = [paths[name].stat().st_size for name in dtypes]
    widths = [size * np.dtype(dtype).itemsize for dtype in dtypes.values()]
    epochs = min(length // width for length, width in zip(lengths, widths, strict=True))
    if not epochs:
        return {name: np.empty((0, size), dtype) for name, dtype in dtypes.items()}
    return {
        name: np.memmap(paths[name], dtype, "r", shape=(epochs, size))
        for name, dtype in dtypes.items()
    }
