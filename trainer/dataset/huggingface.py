"""Tables of images in the formats of Hugging Face: parquet, arrow, saved sets, and the Hub."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainer.core.errors import DataError, disk_error
from trainer.core.extra import missing
from trainer.dataset.base import Raw
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.packed_dataset import Packed, PackedDataset
from trainer.dataset.shared.shards import by_split
from trainer.dataset.shared.split_folders import SPLIT_OF
from trainer.dataset.shared.table_columns import (
    classes_in,
    image_column,
    label_column,
    labels_in,
)
from trainer.dataset.shared.table_images import (
    ArrowColumn,
    ParquetColumn,
    TableImages,
    opened,
    parquet,
    read_column,
    real_files,
)

SAVED = "dataset_dict.json", "state.json"  # by save_to_disk: several splits, or one
AUTO = "auto"


@dataclass(kw_only=True)
class Huggingface(PackedDataset):
    """The rows of tables: an image, encoded, and its class.

    `root` is a folder that `save_to_disk` has made, or one with parquet or arrow files, whose split
    is a word of their path: `train-00000-of-00004.parquet`. Or `hub` is the name of a data set on
    the Hub, with its configuration `name` and a `revision`, which takes `download`. Nothing that
    comes with the data is run.

    Arrow files are mapped into memory. Parquet files are first copied to arrow files in the folder
    `huggingface` of `cache`; with `streaming` they are read as they are, by whole row groups, which
    suits an order that keeps neighbours together: sampler=block_shuffle, or loader=memory, which
    reads all once.

    `image_column` and `label_column` are by their types (`auto`), or else by usual names. Classes
    are those of the column's type, or the distinct labels of the training rows. Splits that have no
    labels are left out. The dataset id of an example is its row in its split. `size`, `channels`,
    `background`, `corrupt` and `cache` are as for image_folder.
    """

    root: str = "data"
    hub: str | None = None
    name: str | None = None
    revision: str | None = None
    download: bool = False
    streaming: bool = False
    image_column: str = AUTO
    label_column: str = AUTO

    def __post_init__(self) -> None:
        super().__post_init__()
        if find_spec("datasets") is None:
            raise missing("dataset=huggingface", "huggingface")

    def load(self) -> Raw:
        """Open the tables. Raises DataError naming what is wrong."""
        if self.hub is not None and not self.download:
            raise DataError(
                f"dataset.hub={printable(self.hub)} is read over the network: set "
                "dataset.download=true as well"
            )
        tables = self.by_file() if self.streaming else None
        if tables is None:
            tables = self.by_row()
        tables, unused = by_usual_names(tables)
        features = tables["train"].features
        image = image_column(features, self.image_column)
        label = label_column(features, self.label_column)
        sources: dict[str, Packed] = {}
        for split, table in tables.items():
            for column in (image, label):
                if column not in table.features:
                    raise DataError(f"the split {split} has no column {printable(column)}")
            values = labels_in(
                table.values(label), features[label], f"dataset.label_column={label}"
            )
            if split != "train" and all(value == -1 for value in values):
                unused.append(f"{split} (no labels)")
            else:
                sources[split] = Packed(table.images(image, f"{self.called}/{split}"), values)
        notes = self.notes(features, image, label, unused)
        return self.raw(sources, classes_in(sources["train"].labels, features[label]), notes)

    @property
    def called(self) -> str:
        """What the data set is called in messages."""
        return self.root if self.hub is None else self.hub

    def notes(
        self, features: Mapping[str, Any], image: str, label: str, unused: list[str]
    ) -> tuple[str, ...]:
        """Which columns were guessed, and which splits are not used."""
        notes: list[str] = []
        if AUTO in (self.image_column, self.label_column):
            columns = ", ".join(map(printable, features))
            notes.append(
                f"dataset.image_column={printable(image)} and dataset.label_column="
                f"{printable(label)} are taken, of the columns {columns}"
            )
        if unused:
            notes.append(f"{printable(self.called)}: not used: {', '.join(map(printable, unused))}")
        return tuple(notes)

    def by_row(self) -> dict[str, "Table"]:
        """The tables by split, as memory-mapped arrow files. Raises DataError."""
        import datasets

        datasets.disable_progress_bars()
        root, cache = Path(self.root), self.copies()
        with heard() as said:
            try:
                if self.hub is not None:
                    found = datasets.load_dataset(
                        self.hub, self.name, revision=self.revision, cache_dir=cache
                    )
                elif saved(root):
                    found = datasets.load_from_disk(self.root)
                else:
                    files = by_split(root, ".parquet", ".arrow")
                    kind = kind_of(files)
                    files = {split: paths for split, paths in files.items() if paths}
                    found = datasets.load_dataset(kind, data_files=files, cache_dir=cache)
            except DataError:
                raise
            except Exception as error:
                reason = why(error, said)
                raise DataError(f"{printable(self.called)} cannot be opened: {reason}") from error
        parts = found if isinstance(found, dict) else {"train": found}
        return {str(split): ArrowTable(dataset) for split, dataset in parts.items()}

    def copies(self) -> str | None:
        """The folder for copies as arrow files; None: that of the library. Raises DiskError."""
        folder = self.file_cache.folder
        if folder is None:
            return None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, folder) from error
        return str(folder / "huggingface")

    def by_file(self) -> dict[str, "Table"] | None:
        """The tables by split, as parquet files; None for arrow files. Raises DataError."""
        if self.hub is not None:
            files = self.on_the_hub(self.hub)
        elif saved(Path(self.root)):
            return None
        else:
            files = by_split(Path(self.root), ".parquet", ".arrow")
            if kind_of(files) == "arrow":
                return None
        return {split: ParquetTable(paths) for split, paths in files.items() if paths}

    def on_the_hub(self, hub: str) -> dict[str, list[str]]:
        """The parquet files of a data set on the Hub, by split. Raises DataError."""
        import datasets

        try:
            builder = datasets.load_dataset_builder(hub, self.name, revision=self.revision)
        except Exception as error:
            raise DataError(f"{printable(hub)} cannot be opened: {why(error)}") from error
        files = getattr(builder.config, "data_files", None) or {}
        found = {str(split): list(map(str, paths)) for split, paths in files.items()}
        if not found or not all(p.endswith(".parquet") for paths in found.values() for p in paths):
            raise DataError(
                f"dataset.streaming=true reads parquet files, and {printable(hub)} has others; set "
                "dataset.streaming=false"
            )
        return found


class ArrowTable:
    """A split as a `datasets.Dataset`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.features: Mapping[str, Any] = dataset.features

    def values(self, column: str) -> list[Any]:
        """A whole column."""
        return self.dataset.select_columns([column]).with_format("arrow")[:].column(0).to_pylist()

    def images(self, column: str, called: str) -> TableImages:
        """The column of images, not decoded."""
        import datasets

        own = self.dataset.select_columns([column])
        if isinstance(self.features[column], datasets.Image):
            own = own.cast_column(column, datasets.Image(decode=False))
        files = [entry["filename"] for entry in own.cache_files]
        return TableImages.of(called, files, [ArrowColumn(own, column)])


class ParquetTable:
    """A split as parquet files."""

    def __init__(self, paths: list[str]) -> None:
        import datasets

        self.paths = paths
        with opened(paths[0]) as file:
            schema = parquet(paths[0], file).schema_arrow
        try:
            self.features: Mapping[str, Any] = datasets.Features.from_arrow_schema(schema)
        except Exception as error:  # the file says what the library is to make of its columns
            raise DataError(f"{printable(paths[0])} cannot be read: {why(error)}") from error

    def values(self, column: str) -> list[Any]:
        """A whole column."""
        return [value for path in self.paths for value in read_column(path, column)]

    def images(self, column: str, called: str) -> TableImages:
        """The column of images, not decoded."""
        columns = [ParquetColumn(path, column) for path in self.paths]
        return TableImages.of(called, real_files(self.paths), columns)


Table = ArrowTable | ParquetTable


def saved(root: Path) -> bool:
    """Whether `save_to_disk` has made a folder."""
    return any((root / name).is_file() for name in SAVED)


def kind_of(files: Mapping[str, list[str]]) -> str:
    """`parquet` or `arrow`. Raises DataError for files of both."""
    kinds = {Path(path).suffix[1:] for paths in files.values() for path in paths}
    if len(kinds) > 1:
        raise DataError("dataset.root has parquet and arrow files; move those of one kind away")
    return kinds.pop()


def by_usual_names(tables: Mapping[str, Table]) -> tuple[dict[str, Table], list[str]]:
    """The tables by train, val and test, and the names of those that are none.

    Raises DataError where there is no train, or two of a split.
    """
    found: dict[str, Table] = {}
    unused: list[str] = []
    for name, table in tables.items():
        split = SPLIT_OF.get(name.lower())
        if split is None:
            unused.append(name)
        elif split in found:
            raise DataError(f"two splits are {split}: {', '.join(map(printable, tables))}")
        else:
            found[split] = table
    if "train" not in found:
        names = ", ".join(map(printable, tables))
        raise DataError(f"there is no split train; the splits are {names}")
    return found, unused


@contextmanager
def heard() -> Iterator[list[str]]:
    """What the library logs meanwhile: not printed, but kept, as only that names a file."""
    said: list[str] = []
    logger, handler = logging.getLogger("datasets"), logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(record.getMessage())
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [handler], False
    try:
        yield said
    finally:
        logger.handlers, logger.propagate = before


def why(error: Exception, said: Sequence[str] = ()) -> str:
    """The reason of an error of the library, in one line: of what it `said` before, if anything."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    text = said[0] if said else f"{type(cause).__name__}: {cause}"
    return printable(" ".join(text.split()))[:300]
