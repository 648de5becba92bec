"""The difficulty store: one record per training example and epoch, by dataset id.

On the device during the epoch; one row per epoch is appended to each file of `examples/`:
`<field>.bin` is an array [epochs, M] of the type that `meta.json` names. `open(run)` reads it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.errors import DataError

FLOATS = ("loss", "confidence", "margin", "el2n")
DTYPES = dict.fromkeys(FLOATS, "float16") | {
    "correct": "uint8",  # 0 or 1; 255 where the example was not seen
    "prediction": "int16",  # −1 where it was not seen
}
UNSEEN = {"float16": float("nan"), "uint8": 255, "int16": -1}


class Store:
    """Records of the epoch that runs, and the files of those before it.

    The last record of an example in an epoch stands. Rows that blend several examples are skipped,
    so every record is of the example's own image (augmented, not mixed).
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
        for name, dtype in self.dtypes.items():
            self.rows[name] = torch.full(
                (self.size,), UNSEEN[dtype], dtype=getattr(torch, dtype), device=self.device
            )

    def add(self, ids: Tensor, records: dict[str, Tensor]) -> None:
        """Record values [n] of the examples ids [n], in the order they were seen."""
        order = ids.argsort(stable=True)
        grouped = ids[order]
        last = order[torch.cat([grouped[1:] != grouped[:-1], grouped.new_ones(1).bool()])]
        at = ids[last]  # each id once: index_put_ with repeats has no fixed order on a GPU
        for name, row in self.rows.items():
            values = records[name][last]
            row[at] = values.to(row.dtype)

    def describe(self, **arrays: Tensor) -> None:
        """Write what stays the same: ids of the split, labels by id, and the types."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, values in arrays.items():
            np.save(self.folder / f"{name}.npy", values.cpu().numpy())
        meta = {"version": 1, "examples": self.size, "fields": self.dtypes}
        (self.folder / "meta.json").write_text(json.dumps(meta, indent=2))

    def flush(self, epoch: int) -> None:
        """Write the epoch's row to each file, over any later rows, and begin the next."""
        for name, row in self.rows.items():
            path = self.folder / f"{name}.bin"
            path.touch()
            with path.open("r+b") as file:
                file.seek(epoch * row.numel() * row.element_size())
                file.write(row.cpu().numpy().tobytes())
                file.truncate()
        self.clear()

    def state_dict(self) -> dict[str, Any]:
        """The rows of the epoch that runs."""
        return {name: row.cpu() for name, row in self.rows.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back."""
        self.rows = {name: row.to(self.device) for name, row in state.items()}


@dataclass(frozen=True)
class History:
    """The store of a run, read: each field an array [epochs, M], mapped from its file."""

    ids: np.ndarray  # [n] dataset ids of the training split
    labels: np.ndarray  # [M, ...] labels by dataset id
    fields: dict[str, np.ndarray]

    @property
    def epochs(self) -> int:
        """Epochs on record."""
        return len(next(iter(self.fields.values())))

    def __getitem__(self, field: str) -> np.ndarray:
        """The records of the training split, [epochs, n], NaN, 255 or −1 where not seen."""
        return self.fields[field][:, self.ids]


def open(run: str | Path) -> History:  # noqa: A001  (read as history.open)
    """The difficulty store of a run folder. Raises DataError where there is none."""
    folder = Path(run) / "examples"
    try:
        meta = json.loads((folder / "meta.json").read_text())
        ids, labels = (np.load(folder / f"{n}.npy", allow_pickle=False) for n in ("ids", "labels"))
        size = meta["examples"]
        rows = {
            name: (folder / f"{name}.bin").stat().st_size // (size * np.dtype(dtype).itemsize)
            for name, dtype in meta["fields"].items()
        }
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{folder} holds no difficulty store: {error}") from error
    shape = (min(rows.values()), size)
    fields: dict[str, np.ndarray] = {
        name: np.memmap(folder / f"{name}.bin", dtype, "r", shape=shape)
        if shape[0]
        else np.empty(shape, dtype)
        for name, dtype in meta["fields"].items()
    }
    return History(ids, labels, fields)
