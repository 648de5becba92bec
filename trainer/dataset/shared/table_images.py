"""Images in the rows of arrow tables, read by row, and of parquet files, by row group."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.packed import Packing
from trainer.dataset.shared.regular_file import open_regular

REMOTE = "hf://"  # files on the Hub, as the library `datasets` names them
HELD = 2**28  # bytes of row groups that a process keeps, at least one


class Column(Protocol):
    """The image column of some rows."""

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def value(self, row: int) -> Any:
        """What a row has: bytes, or a dict with `bytes`. Raises OSError or ValueError."""
        ...


class TableImages(Packing):
    """Images in columns: of `places` int64 [M, 2], the number of the column and the row."""

    def __init__(
        self, names: np.ndarray, files: list[str], columns: Sequence[Column], places: np.ndarray
    ) -> None:
        super().__init__(names, files)
        self.columns = list(columns)
        self.where = places

    @classmethod
    def of(cls, called: str, files: list[str], columns: Sequence[Column]) -> "TableImages":
        """All rows of some columns in order; `called` is what they are together."""
        lengths = [len(column) for column in columns]
        rows = [np.arange(length, dtype=np.int64) for length in lengths]
        places = np.stack([np.arange(len(lengths)).repeat(lengths), np.concatenate(rows)], 1)
        names = np.array([f"{called}/{row}" for row in range(len(places))])
        return cls(names, files, columns, places)

    def read(self, i: int) -> bytes:
        """The encoded image i. Raises OSError or ValueError."""
        column, row = self.where[i].tolist()
        value = self.columns[column].value(row)
        content = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(content, bytes):
            path = value.get("path") if isinstance(value, dict) else value
            path = path if isinstance(path, str) else None
            raise ValueError(
                f"the row names the file {path!r} and has no image in it; embed the images, or "
                "take dataset=image_folder or csv"
                if path
                else "the row has no image"
            )
        return content

    def places(self) -> bytes:
        """The columns and rows, and the files on the Hub, whose names have their version."""
        remote = [c.path for c in self.columns if isinstance(c, ParquetColumn)]
        known = "\n".join(path for path in remote if path.startswith(REMOTE))
        return self.where.tobytes() + known.encode()

    def select(self, rows: np.ndarray) -> "TableImages":
        """The images of some rows, a bool array [M]."""
        return TableImages(self.names[rows], self.files, self.columns, self.where[rows])

    def joined(self, other: "TableImages") -> "TableImages":  # pyright: ignore
        """These images, and the `other` ones behind them."""
        names = np.concatenate([self.names, other.names])
        moved = other.where + np.array([len(self.columns), 0])
        columns = self.columns + other.columns
        places = np.concatenate([self.where, moved])
        return TableImages(names, self.files + other.files, columns, places)


class ArrowColumn:
    """A column of a `datasets.Dataset`, which maps its arrow files into memory."""

    def __init__(self, dataset: Any, column: str) -> None:
        self.dataset = dataset
        self.column = column

    def __len__(self) -> int:
        return len(self.dataset)

    def value(self, row: int) -> Any:
        """What a row has."""
        return self.dataset[row][self.column]


class RowGroups:
    """The row groups that this process has read last, up to `HELD` bytes."""

    def __init__(self) -> None:
        self.groups: OrderedDict[tuple[str, str, int], Any] = OrderedDict()

    def get(self, file: "ParquetColumn", group: int) -> Any:
        """The column of a row group, a pyarrow array."""
        key = file.path, file.column, group
        if key not in self.groups:
            self.groups[key] = file.read_group(group)
            while len(self.groups) > 1 and sum(g.nbytes for g in self.groups.values()) > HELD:
                self.groups.popitem(last=False)
        self.groups.move_to_end(key)
        return self.groups[key]


RECENT = RowGroups()


class ParquetColumn:
    """A column of a parquet file, of which whole row groups are read."""

    def __init__(self, path: str, column: str) -> None:
        self.path = path
        self.column = column
        with opened(path) as file:
            self.metadata = parquet(path, file).metadata
        groups = [self.metadata.row_group(g).num_rows for g in range(self.metadata.num_row_groups)]
        self.ends = np.cumsum(np.array(groups, np.int64))

    def __len__(self) -> int:
        return self.metadata.num_rows

    def value(self, row: int) -> Any:
        """What a row has. Raises OSError or ValueError."""
        group = int(np.searchsorted(self.ends, row, "right"))
        first = int(self.ends[group - 1]) if group else 0
        return RECENT.get(self, group)[row - first].as_py()

    def read_group(self, group: int) -> Any:
        """The column of a row group, a pyarrow array. Raises OSError or ValueError."""
        import pyarrow.parquet as pq

        with opened(self.path) as file:
            found = pq.ParquetFile(file, metadata=self.metadata, pre_buffer=False)
            return found.read_row_group(group, [self.column], use_threads=False).column(0)


def opened(path: str) -> BinaryIO:
    """Open a parquet file, on the Hub too. Raises OSError."""
    if path.startswith(REMOTE):
        import fsspec

        return fsspec.open(path, "rb").open()  # pyright: ignore
    return open_regular(path)


def parquet(path: str, file: BinaryIO) -> Any:
    """An open parquet file. Raises DataError for one that is damaged."""
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (ValueError, OSError) as error:  # pyarrow's own are subclasses
        why = " ".join(str(error).split())
        raise DataError(f"{printable(path)} is damaged, or no parquet file: {why}") from error


def read_column(path: str, column: str) -> list[Any]:
    """A whole column of a parquet file. Raises DataError."""
    with opened(path) as file:
        found = parquet(path, file)
        if column not in found.schema_arrow.names:
            raise DataError(f"{printable(path)} has no column {printable(column)}")
        try:
            return found.read([column], use_threads=False).column(0).to_pylist()
        except (ValueError, OSError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{printable(path)} cannot be read: {why}") from error


def real_files(files: Sequence[str]) -> list[str]:
    """Those that are on this machine, for fingerprints."""
    return [os.path.abspath(path) for path in files if not path.startswith(REMOTE)]  # noqa: PTH100
