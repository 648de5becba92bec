"""Several mixers in turn: each mixes what the one before it has mixed, and K multiplies."""

from dataclasses import dataclass

import numpy as np

from trainer.mixer.base import Drawing
from trainer.mixer.composition import Composition, take_turns
from trainer.seed import Moment


@dataclass(kw_only=True)
class Chain(Composition):
    """Each of `mixers` in their order, by its own probability and until its own end."""

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, moment: Moment
    ) -> Drawing:
        """What each mixer draws."""
        drawn = [(mixer, mixer.decide(size, image, rng, moment)) for mixer in self.mixers.values()]
        return take_turns(size, [(mixer, each) for mixer, each in drawn if each.partners])
