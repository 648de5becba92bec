"""No mixing."""

import numpy as np

from trainer.batch import Batch
from trainer.mixer.base import Drawing, Mixer
from trainer.seed import Moment


class NoMixer(Mixer):
    """Images stay as they are."""

    targets = ("class", "mask", "vector", "image")

    def __init__(self) -> None:
        super().__init__(probability=0.0)

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, moment: Moment
    ) -> Drawing:
        """Nothing is drawn."""
        return Drawing([])

    def mix(self, parts: list[Batch], drawing: Drawing) -> Batch:
        """The batch itself."""
        return parts[0]

    def __call__(self, batch: Batch, moment: Moment) -> Batch:
        """The batch itself."""
        return batch
