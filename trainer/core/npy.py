"""Arrays in `.npy` files that anyone may have written."""

from pathlib import Path

import numpy as np

ARCHIVE = b"PK"  # the first bytes of a zip, as of .npz


def mapped(path: Path) -> np.ndarray:
    """Map the array in a regular file: a header that claims more than the file holds is refused.

    Nothing is unpickled. Raises OSError, and ValueError for what is not a single array: NumPy lets
    its parser's own errors through, such as a MemoryError for a header of brackets.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) == ARCHIVE:
            raise ValueError("it is an archive, not a single array")
    try:
        with np.errstate(over="ignore"):  # a header may claim a size that overflows
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"it is not an array: {reason:.200}" if reason else "it is not an array"
        ) from error
