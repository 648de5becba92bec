"""Texts and labels in a table: a row a text."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from trainer.dataset.base import Raw, Split
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.groups import numbered
from trainer.dataset.shared.table import Table, read_table
from trainer.dataset.shared.table_labels import Labels, composed, single
from trainer.dataset.shared.table_rows import group_cells, split_rows, truth_of
from trainer.dataset.shared.text_dataset import TextDataset
from trainer.dataset.shared.texts import Texts

LABELS = "dataset.label_column"


@dataclass(kw_only=True)
class TextCsv(TextDataset):
    """The texts of the table `file`, a row a text, in UTF-8 with commas, semicolons or tabs.

    `text_column` has the text, in quotes where it holds a delimiter, a quote or a line break;
    `label_column` its class. A column `split` with train, val and test, or usual names for them,
    divides the rows. `val_file` and `test_file` are tables of their own with the same columns. What
    there is none of is cut as for any data set. Columns `true_label` and `group` are as for csv.

    The dataset id of an example is its row in its table, counted from 0.
    """

    file: str = "texts.csv"
    val_file: str | None = None
    test_file: str | None = None
    text_column: str = "text"
    label_column: str = "label"
    group: str | None = "auto"

    def load(self) -> Raw:
        """Read the tables. Raises DataError, by line, for what is wrong."""
        files = {"file": self.file, "val_file": self.val_file, "test_file": self.test_file}
        known = [self.text_column, self.label_column]
        tables = {
            name: read_table(path, f"dataset.{name}", known)
            for name, path in files.items()
            if path is not None
        }
        rows = self.rows(tables)
        labels = single(tables["file"], self.label_column, rows["train"], LABELS)
        groups, group_of = self.groups(list(tables.values()))
        sources = [
            self.source(table, labels, of, f"dataset.{name}")
            for (name, table), of in zip(tables.items(), group_of, strict=True)
        ]
        others = iter(sources[1:])
        parts = {name: part(sources[0], of) for name, of in rows.items() if of.any()}
        if self.val_file is not None:
            parts["val"] = next(others)
        if self.test_file is not None:
            parts["test"] = next(others)
        return Raw(
            parts["train"],
            parts.get("test"),
            labels.classes,
            val=parts.get("val"),
            mean=(),
            std=(),
            groups=groups,
        )

    def rows(self, tables: dict[str, Table]) -> dict[str, np.ndarray]:
        """Which rows of `file` are train, val and test, bool [M]. Raises DataError by line."""
        rows = split_rows(tables["file"], "dataset.file")
        for name in ("val", "test"):
            if f"{name}_file" in tables and rows[name].any():
                first = int(rows[name].argmax())
                raise tables["file"].fault(
                    first, f"split is {name}, but there is dataset.{name}_file; give one of them"
                )
        return rows

    def groups(self, tables: list[Table]) -> tuple[tuple[str, ...], list[Tensor | None]]:
        """The names of the groups, and the group [M] of each row of each table."""
        cells = [group_cells(table, self.group) for table in tables]
        if any(each is None for each in cells):
            return (), [None] * len(tables)
        names, numbers = numbered(*(each or [] for each in cells))
        return names, list(numbers)

    def source(self, table: Table, labels: Labels, group: Tensor | None, setting: str) -> Split:
        """All rows of a table. Raises DataError, by line, for one without text or known label."""
        texts = table.column(self.text_column, "dataset.text_column")
        if "" in texts:
            raise table.fault(texts.index(""), f"column {printable(self.text_column)} is empty")
        cells = table.column(self.label_column, LABELS)
        own = labels.numbers(table, list(map(composed, cells)), self.label_column)
        truth = None
        if table.has("true_label"):
            truth = truth_of(table, replace(labels, labels=own), setting)
        ids = torch.arange(len(texts))
        return Split(Texts(texts, self.max_length), own, ids, group, truth)


def part(source: Split, rows: np.ndarray) -> Split:
    """The rows of a source where a mask [M] is true."""
    return replace(source, ids=source.ids[torch.from_numpy(rows)])
