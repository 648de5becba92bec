"""Which columns of a table have the images and the labels, by the types that `datasets` gives."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.core.errors import DataError
from trainer.core.suggest import did_you_mean
from trainer.core.text import enumerated
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.table_labels import composed, ordered

IMAGES = "image", "img", "picture", "photo", "jpg", "png"  # usual names
LABELS = "label", "labels", "class", "cls", "target"


def image_column(features: Mapping[str, Any], given: str) -> str:
    """The column of images. Raises DataError listing the columns."""
    typed = [name for name, feature in features.items() if kind(feature) == "Image"]
    other = [name for name in IMAGES if name in features and holds_bytes(features[name])]
    return chosen(features, given, "dataset.image_column", typed, other)


def label_column(features: Mapping[str, Any], given: str) -> str:
    """The column of labels. Raises DataError listing the columns."""
    typed = [name for name, feature in features.items() if kind(feature) == "ClassLabel"]
    other = [name for name in LABELS if name in features and holds_names(features[name])]
    return chosen(features, given, "dataset.label_column", typed, other)


def chosen(
    features: Mapping[str, Any], given: str, setting: str, typed: list[str], other: list[str]
) -> str:
    """The column given; for `auto` the only one of the type, or else one of a usual name."""
    columns = ", ".join(map(printable, features))
    if given != "auto":
        if given in features:
            return given
        hint = did_you_mean(given, list(features))
        raise DataError(f"{setting}: no column {printable(given)}.{hint} Columns: {columns}")
    usual = [name for name in typed if name in IMAGES + LABELS]
    for found in (typed, usual, other[:1]):
        if len(found) == 1:
            return found[0]
    raise DataError(f"{setting} must be set to one of the columns: {columns}")


def kind(feature: Any) -> str:
    """The name of a feature's type: Image, ClassLabel, Value, ..."""
    return type(feature).__name__


def holds_bytes(feature: Any) -> bool:
    """Whether a feature is binary, or a struct with `bytes`."""
    return "bytes" in feature if isinstance(feature, dict) else "binary" in str(feature.dtype)


def holds_names(feature: Any) -> bool:
    """Whether a feature is text, or whole numbers."""
    dtype = str(getattr(feature, "dtype", ""))
    return kind(feature) == "Value" and ("string" in dtype or "int" in dtype or dtype == "bool")


def labels_in(values: Sequence[Any], feature: Any, where: str) -> list[str | int]:
    """What the cells of a label column say; −1 where they say nothing. Raises DataError.

    Numbers of classes stay numbers; text and other numbers are names.
    """
    numbered = kind(feature) == "ClassLabel"
    if not (numbered or holds_names(feature)):
        raise DataError(f"{where}: labels must be text or whole numbers, got {feature}")
    if numbered:
        return [-1 if value is None else int(value) for value in values]
    return [-1 if value is None or value == "" else composed(str(value)) for value in values]


def classes_in(labels: Sequence[str | int], feature: Any) -> tuple[str, ...]:
    """The names of the classes: those of the column, or the distinct labels of training rows."""
    if kind(feature) == "ClassLabel":
        names = tuple(composed(name) for name in feature.names)
        if len(set(names)) < len(names):
            twice = enumerated(sorted({name for name in names if names.count(name) > 1}))
            raise DataError(f"two classes are called {printable(twice)}")
        return names
    return ordered(str(label) for label in labels if label != -1)
