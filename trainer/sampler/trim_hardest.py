"""Training without the hardest examples, which are often mislabelled.

One round of iterative trimmed loss minimization (Shen and Sanghavi 2019,
https://arxiv.org/abs/1810.11874).
"""

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.sampler.base import PreparedSampler, shuffled
from trainer.sampler.shared.recorded import record_of


class TrimHardest(PreparedSampler):
    """Leaves out the hardest fraction `trim` of the split, by another run's difficulty store.

    Difficulty is an example's mean loss over the epochs of the run `reference`. Examples it has no
    record of, such as those of its validation split, stay.
    """

    def __init__(self, *, reference: str, trim: float = 0.1) -> None:
        within("sampler.trim", trim, "[0, 1)")
        self.reference = reference
        self.trim = trim

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """The remaining ids [m], in random order."""
        return shuffled(self.prepared(split), rng), None

    def ids(self, split: Split) -> Tensor:
        """The remaining ids [m], in the split's order."""
        return self.prepared(split)

    def prepare(self, split: Split) -> Tensor:
        """The remaining ids [m], in their order. Raises DataError if the run had other data."""
        record, ids = record_of(self.reference, split), split.ids.numpy()
        losses = np.full(record.size, np.nan)
        losses[record.ids] = record.mean("loss")
        if np.isnan(losses[ids]).all():
            raise DataError(f"sampler.reference={self.reference} has no losses for these examples")
        order = np.argsort(-np.nan_to_num(losses[ids], nan=-np.inf, posinf=np.inf), kind="stable")
        return torch.from_numpy(ids[np.sort(order[int(self.trim * len(ids) + 0.5) :])])
