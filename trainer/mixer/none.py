"""No mixing."""

import numpy as np

from trainer.core.batch import TARGETS, Batch
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing, Mixer


class NoMixer(Mixer):
    """Leaves batches unchanged."""

    inputs = ("image", "text")
    targets = TARGETS

    def __init__(self) -> None:
        super().__init__(probability=0.0)

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Return a drawing without partners: the batch stays unmixed."""
        return Drawing([])

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """Return the batch unchanged."""
        return parts[0]

    def __call__(self, batch: Batch, step_id: StepId) -> Batch:
        """Return the batch unchanged."""
        return batch
