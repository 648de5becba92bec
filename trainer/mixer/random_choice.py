"""Applies one of several mixers, chosen at random, to each batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing
from trainer.mixer.shared.composition import Composition, take_turns


@dataclass(kw_only=True)
class RandomChoice(Composition):
    """Mixes a batch with one of `mixers`, drawn by `weights`; null: with equal probability."""

    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = [1.0] * len(self.mixers) if self.weights is None else self.weights
        within("mixer.weights", weights, "[0, inf)")
        if len(weights) != len(self.mixers) or not sum(weights):
            raise ValueError(
                f"mixer.weights must be one number for each of {', '.join(self.mixers)}, not all "
                f"0, got {weights}"
            )
        self.chances = np.array(weights) / sum(weights)

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """Choose a mixer and return its drawing."""
        chosen = list(self.mixers.values())[rng.choice(len(self.chances), p=self.chances)]
        drawing = chosen.decide(size, image, rng, step_id)
        return take_turns(size, [(chosen, drawing)]) if drawing.partners else drawing
