"""The contract of a model that finds boxes."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn

from trainer.core.batch import Batch, Elements

Score = Callable[[Tensor, Tensor], Tensor]


class Detector(nn.Module, ABC):
    """A model from images [B, C, H, W] to outputs for E anchors or regions each.

    It says what its outputs mean. Boxes are x0, y0, x1, y1 in pixels of its images. It has a logit
    for each class, the first of them the background's.
    """

    shape_of_outputs: tuple[int, ...]  # in eval mode, without the batch dimension
    first_stage: tuple[int, float] = (0, 0.0)  # of two: see Task

    @abstractmethod
    def elements(self, outputs: Tensor, batch: Batch) -> Elements:
        """What outputs [B, ...] are trained on, for a batch with labels [B, 1, N, 5]."""

    @abstractmethod
    def losses(self, score: Score, outputs: Tensor, elements: Elements) -> Tensor:
        """The loss of each element, [B, E]; that of the class by `score`, as of class labels."""

    @abstractmethod
    def truth(self, outputs: Tensor, elements: Elements) -> Tensor:
        """The probability that outputs [B, ...] give to the label of each element, [B, E].

        NaN for an element that was not judged.
        """

    @abstractmethod
    def measured(self, elements: Elements) -> tuple[Tensor, Tensor]:
        """Mask [B, E] of the losses that an image's loss is the sum of, and its divisor [B]."""

    @abstractmethod
    def decoded(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [B, E, 4], or [B, E, C, 4] by class, and probabilities [B, E, C] of outputs.

        They are those of eval mode; C classes without the background.
        """
