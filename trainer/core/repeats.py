"""Batches in which an example occurs more than once."""

import torch
from torch import Tensor


def last_of_each(ids: Tensor, preferred: Tensor | None = None) -> Tensor:
    """Return for each of the ids [n] the position [n] of the last one that equals it.

    Those that are `preferred`, a mask [n], go before the others. Where all repeats of an id write
    what belongs to one of them, the order in which a GPU writes does not matter.
    """
    order = (ids if preferred is None else 2 * ids + preferred).sort(stable=True).indices
    return order[torch.searchsorted(ids[order], ids, right=True) - 1]
