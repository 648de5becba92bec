"""JSON of somebody else: a regular file of a known size, with a fault in one line."""

import json
from pathlib import Path
from typing import Any

from trainer.core.errors import DataError
from trainer.dataset.shared.decode import printable
from trainer.dataset.shared.regular_file import open_regular, read_text_bytes

LARGEST = 2**31  # bytes: the labels of COCO's training images are 0.45 GB


def read_text(path: Path, largest: int) -> str:
    """The text of a file in UTF-8 of at most `largest` bytes. Raises DataError."""
    try:
        with open_regular(path) as file:
            data = read_text_bytes(file, largest)
        if b"\0" in data:
            raise ValueError("byte 0x00 is not text")
        if len(data) > largest:
            raise ValueError(f"it is larger than {largest:,} bytes")
        return data.decode("utf-8-sig")
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise DataError(f"cannot read {printable(path)}: {printable(reason)}") from error


def read_mapping(path: Path, largest: int = LARGEST) -> dict[str, Any]:
    """The mapping in a JSON file. Raises DataError."""
    try:
        value = json.loads(read_text(path, largest))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{printable(path)} is no JSON: {printable(str(error))}") from error
    if not isinstance(value, dict):
        raise DataError(f"{printable(path)} has no mapping at its top")
    return value
