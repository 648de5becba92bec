"""No postprocessing."""

from torch import Tensor

from trainer.postprocess.base import Postprocess


class NoPostprocess(Postprocess):
    """Outputs stay as the model gives them."""

    def fit(self, outputs: Tensor, labels: Tensor) -> None:
        """Nothing is fitted."""

    def __call__(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs
