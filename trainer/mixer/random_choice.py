"""One of several mixers for each batch."""

from dataclasses import dataclass

import numpy as np

from trainer.core.ranges import within
from trainer.core.seed import StepId
from trainer.mixer.base import Drawing
from trainer.mixer.shared.composition import Composition, take_turns


@dataclass(kw_only=True)
class RandomChoice(Composition):
    """A batch is mixed by one of `mixers`, drawn by the `weights`; null: each alike."""

    weights: list[float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = [1.0] * len(self.mixers) if self.weights is None else self.weights
        within("mixer.weights", weights, "[0, inf)")
        if len(weights) != len(self.mixers) or not sum(weights):
            raise ValueError(
                f"mixer.weights must have a number for each of {', '.join(self.mixers)}, one of "
                f"them above 0, got {weights}"
            )
        self.chances = np.array(weights) / sum(weights)

    def draw(
        self, size: int, image: tuple[int, int], rng: np.random.Generator, step_id: StepId
    ) -> Drawing:
        """What the chosen mixer draws."""
        chosen = list(self.mixers.values())[rng.choice(len(self.chances), p=self.chances)]
        drawing = chosen.decide(size, image, rng, step_id)
        return take_turns(size, [(chosen, drawing)]) if drawing.partners else drawing
