"""Lists the exact and near copies within and across the splits, leaks into test first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from trainer.core.text import plain
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.texts import Texts
from trainer.history.duplicates import copies
from trainer.history.pictures import class_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trainer.dataset import Data
    from trainer.trained.examined import Examined

SPLITS = ["test", "val", "train"]  # the order within a pair
PAIRS = ["test-train", "test-val", "val-train", "test-test", "val-val", "train-train"]

Row = dict[str, str]


def found_copies(examined: Mapping[str, Examined], data: Data) -> list[Row]:
    """A row for each pair of copies: leaks first, then by other labels, exact ones first."""
    parts = {name: examined[name] for name in SPLITS if name in examined}
    pixels = [part.thumbnails for part in parts.values()]
    features = [part.features for part in parts.values()]
    found = copies(
        [digest for part in parts.values() for digest in part.digests],
        np.concatenate(pixels),
        np.concatenate(features if features[0].shape[1] else pixels),
    )
    every = [described(name, i, data) for name, part in parts.items() for i in part.ids.tolist()]
    pairs = zip(found.first, found.second, found.correlation, found.exact, strict=True)
    rows = [row_of(every[a], every[b], r, exact) for a, b, r, exact in pairs]
    return sorted(rows, key=order)


def described(split: str, i: int, data: Data) -> Row:
    """What is said of an example: its split, dataset id, label, and file or text if it has one."""
    own = getattr(data, split)
    row = {"split": split, "id": str(i)}
    if own.classed:
        row["label"] = class_name(data.classes, own.labels[i].item())
    if (paths := getattr(own.images, "paths", None)) is not None:
        row["path"] = printable(paths[i])
    if isinstance(own.images, Texts):
        row["text"] = plain(own.images.texts[i])
    return row


def row_of(first: Row, second: Row, correlation: float, exact: bool) -> Row:
    """The row of a pair."""
    return {
        "splits": f"{first['split']}-{second['split']}",
        "copy": "exact" if exact else "near",
        "correlation": f"{correlation:.4f}",
        **first,
        **{f"other_{name}": value for name, value in second.items()},
    }


def order(row: Row) -> tuple[int, bool, bool]:
    """The key by which pairs are sorted; those alike stay in order of their correlation."""
    same = row.get("label") == row.get("other_label")
    return PAIRS.index(row["splits"]), same, row["copy"] != "exact"


def counted(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """The number of exact and near pairs by splits, such as `test-train`."""
    numbers = Counter((row["splits"], row["copy"]) for row in rows)
    return {
        pair: {copy: numbers[pair, copy] for copy in ("exact", "near")}
        for pair in PAIRS
        if any(numbers[pair, copy] for copy in ("exact", "near"))
    }


def sentence(rows: Sequence[Row]) -> str:
    """How many pairs there are, in which splits."""
    parts = [
        f"{number} {copy} in {pair.replace('-', ' and ')}"
        for pair, numbers in counted(rows).items()
        for copy, number in numbers.items()
        if number
    ]
    return f"copies: {', '.join(parts)}" if parts else "no copies found"
