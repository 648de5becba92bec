"""A student's word ids as those of a teacher with a vocabulary of its own."""

import torch
from torch import Tensor

from trainer.dataset.shared.words import PADDING, UNKNOWN, numbered


class Translation:
    """Looks up the teacher's id of each word; what the teacher reads of a text is its beginning.

    A word that the teacher does not know is unknown to it, and so is one that the student does not.
    """

    def __init__(
        self, ours: tuple[str, ...], theirs: tuple[str, ...], length: int, device: torch.device
    ) -> None:
        number = numbered(theirs)
        ids = [PADDING, UNKNOWN, *(number.get(word, UNKNOWN) for word in ours)]
        self.table = torch.tensor(ids, dtype=torch.int32, device=device)
        self.length = length

    def __call__(self, ids: Tensor) -> Tensor:
        """[B, L] → [B, at most `length`], both int32."""
        return self.table[ids[:, : self.length]]
