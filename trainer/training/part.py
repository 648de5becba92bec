"""The share of a batch that one of several processes trains on."""

from dataclasses import dataclass

from torch import Tensor

from trainer.core.batch import Batch
from trainer.mixer.base import Drawing


@dataclass(frozen=True)
class Part:
    """The rows of a batch that belong to this process, and those it fetches to mix them."""

    sizes: list[int]  # rows of each process
    fetched: Tensor  # [f] positions in the batch: own rows, then the partners they are mixed with
    rows: int  # number of own rows; a process without any still fetches one
    drawing: Drawing  # for its own rows, with partners as positions among the fetched
    spare: Batch | None = None  # one prepared row, for passes run only to match other processes


def require_part(part: Part | None) -> Part:
    """Return the part. Raises ValueError if a step of several processes was called without."""
    if part is None:
        raise ValueError("a step of several processes needs this process's part of the batch")
    return part


def require_spare(part: Part) -> Batch:
    """Return the part's spare row. Raises ValueError before its batch is prepared."""
    if part.spare is None:
        raise ValueError("the part has no spare row until its batch is prepared")
    return part.spare
