"""What postprocessing does."""

from abc import ABC, abstractmethod

from torch import Tensor


class Postprocess(ABC):
    """Fitted on the outputs of the validation split, applied to those of any split."""

    @abstractmethod
    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Fit on outputs [N, C] and labels [N] of the validation split."""

    @abstractmethod
    def __call__(self, outputs: Tensor) -> Tensor:
        """Outputs [N, C] to outputs [N, C]."""
