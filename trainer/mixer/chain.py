"""Several mixers in sequence: each mixes the output of the previous one, and K multiplies."""

from dataclasses import dataclass

import numpy as np

from trainer.core.seed import StepId
from trainer.mixer.base import Drawing
from trainer.mixer.shared.composition import Composition, take_turns


@dataclass(kw_only=True)
class Chain(Composition):
    """Applies `mixers` in order, each with its own probability and `until`."""

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Combine the drawings of the mixers, without those that leave the batch unmixed."""
        drawn = [(mixer, mixer.decide(size, image, rng, step_id)) for mixer in self.mixers.values()]
        return take_turns(size, [(mixer, each) for mixer, each in drawn if each.partners])
