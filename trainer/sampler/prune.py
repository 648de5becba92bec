"""Training on a part of the set that another run's records recommend, the same in every epoch.

The scores are those of `trainer.history.pruning`. With `strata`, coverage-centric selection (Zheng
et al. 2023, algorithm 1, https://arxiv.org/abs/2210.15809). Few papers show that their part beats a
random one at equal cost: `by: random` is that control, and needs no reference.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.core.text import count
from trainer.dataset import Split
from trainer.history.pruning import By, covering, highest, pruning_scores
from trainer.sampler.base import PreparedSampler, shuffled
from trainer.sampler.shared.recorded import record_of


class Prune(PreparedSampler):
    """Keeps the fraction `keep` of the split with the highest scores of the run `reference`.

    Before that, the fraction `cutoff` with the highest scores is left out, which are often
    mislabelled (β in Zheng et al. 2023). With `strata`, the rest is sampled evenly over the range
    of the scores. `epochs`: the first ones of that run are read, null: all. `window` is J of
    dyn_unc and dual. Examples that the run has no record of, such as those of its validation split,
    are kept at random in the same proportion, and `warn` is told how many, and how many classes
    are not kept at all. What is random depends on the seed alone.
    """

    def __init__(
        self,
        seed: int = 0,
        warn: Callable[[str], None] | None = None,
        *,
        reference: str | None = None,
        by: By | Literal["random"] = "el2n",
        keep: float = 0.7,
        epochs: int | None = None,
        window: int = 10,
        strata: int | None = None,
        cutoff: float = 0.0,
    ) -> None:
        within("sampler.keep", keep, "(0, 1]")
        for name, number in (("epochs", epochs), ("strata", strata)):
            within(f"sampler.{name}", 1 if number is None else number, "[1, inf)")
        within("sampler.window", window, "[2, inf)")
        within("sampler.cutoff", cutoff, "[0, 1)")
        if keep + cutoff > 1 + 1e-9:  # 0.9 + 0.1 may be rounded up
            raise ValueError(
                f"sampler.keep must be at most 1 − sampler.cutoff={cutoff}, got {keep}"
            )
        if by == "random":
            if strata is not None or cutoff:
                raise ValueError("sampler.by=random has no scores: leave out strata and cutoff")
        elif reference is None:
            raise ValueError(f"sampler.reference must be given with sampler.by={by}: a run folder")
        self.seed = seed
        self.warn = warn or (lambda _: None)
        self.reference = reference
        self.by: By | Literal["random"] = by
        self.keep = keep
        self.epochs = epochs
        self.window = window
        self.strata = strata
        self.cutoff = cutoff

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """The ids [m] that are kept, in random order."""
        return shuffled(self.prepared(split), rng), None

    def ids(self, split: Split) -> Tensor:
        """The ids [m] that are kept, in the split's order."""
        return self.prepared(split)

    def prepare(self, split: Split) -> Tensor:
        """The ids [m] that are kept, in their order. Raises DataError for an unfit reference."""
        rng = generator(self.seed, Purpose.PRUNE)
        scores = self.scores(split)
        known, unknown = np.flatnonzero(~np.isnan(scores)), np.flatnonzero(np.isnan(scores))
        number = max(1, round_half_up(self.keep * len(scores)))
        blind = min(number, round_half_up(self.keep * len(unknown)))
        blind = max(blind, number - len(known))  # which is all of them without scores
        chosen = known[self.choose(scores[known], number - blind, rng)]
        kept = np.concatenate([chosen, rng.permutation(unknown)[:blind]])
        ids = split.ids[torch.from_numpy(np.sort(kept))]
        if len(known) and len(unknown):
            self.warn(
                f"sampler.reference={self.reference} has no records of {len(unknown)} of the "
                f"{count(len(scores), 'training example')}; as large a part of them is kept at "
                "random"
            )
        self.check_classes(split, ids)
        return ids

    def check_classes(self, split: Split, ids: Tensor) -> None:
        """Warn of classes of the split that none of the ids [m] has."""
        if split.classed:
            had, left = (len(split.labels[each].unique()) for each in (split.ids, ids))
            if left < had:
                self.warn(
                    f"sampler.keep={self.keep} keeps no example of {had - left} of the "
                    f"{count(had, 'class', plural='classes')}; raise it, or set sampler.strata"
                )

    def choose(self, scores: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
        """The positions to keep by scores [n], none of which is NaN."""
        left_out = min(round_half_up(self.cutoff * len(scores)), len(scores) - number)
        order = highest(scores, len(scores))[left_out:]
        if self.strata is None:
            return order[:number]
        return order[covering(scores[order], number, self.strata, rng)]

    def scores(self, split: Split) -> np.ndarray:
        """The scores [n] of the split's examples, NaN where there are none."""
        if self.by == "random" or self.reference is None:
            return np.full(len(split), np.nan)
        record = record_of(self.reference, split)
        scores = np.full(record.size, np.nan)
        try:
            scores[record.ids] = pruning_scores(
                record, self.by, epochs=self.epochs, window=self.window
            )
        except DataError as error:
            raise DataError(f"sampler.reference={self.reference}: {error}") from error
        scores = scores[split.ids.numpy()]
        if np.isnan(scores).all():
            raise DataError(f"sampler.reference={self.reference} has no records of these examples")
        return scores


def round_half_up(number: float) -> int:
    """A number of examples, rounded."""
    return int(number + 0.5)
