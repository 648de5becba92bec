"""What a sampler does: the rows of an epoch, a pure function of the split and the generator."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from trainer.dataset import Split


class Sampler(ABC):
    """Chooses and orders the rows of an epoch."""

    @abstractmethod
    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Dataset ids [R] or [R, K] in order, and shares [R, K] where a row blends K examples."""
