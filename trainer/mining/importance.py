"""Importance sampling (Katharopoulos and Fleuret 2018, https://arxiv.org/abs/1803.00942), alg. 1.

From a pool of B examples b are drawn with probability g_i in proportion to an upper bound of their
gradient's norm, eq. 20: of softmax cross entropy that is ‖p − onehot‖, the score el2n. Weights
1 / (B g_i) make the mean over the drawn an unbiased estimate of the mean over the pool.

It is done while it pays. With u = 1/B the drawing is worth a batch τ times as large, eq. 26:
1/τ = (1 − ‖g − u‖² / Σ g_i²)^½; since ‖g − u‖² = Σ g_i² − 1/B, that is τ = (B Σ g_i²)^½. Scoring
B and training on b costs B + 3b forward passes, a larger batch 3τb: it pays for τ above
(B + 3b) / 3b, eq. 29.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, spread
from trainer.core.ranges import within
from trainer.core.seed import Purpose, StepId
from trainer.mining.base import Miner, Score, kept, of_examples

POSITIVE = ("loss", "confidence", "el2n")  # scores that are 0 only where the loss is
DECIDE_EVERY = 10  # steps; to read τ is to wait for a GPU


@dataclass(kw_only=True)
class Importance(Miner):
    """Trains on `keep` of each batch, drawn by importance or uniformly; `batch_size` is the pool.

    τ is a moving average, which begins at 0, of what the pool's scores give or, while the drawing
    is uniform, those of the examples trained on: no scoring pass is paid to see whether it pays.
    Uniform drawing is without replacement and has weight 1. Counts stay.
    """

    keep: float = 0.333
    threshold: float | None = None
    momentum: float = 0.9
    score: Score = "el2n"
    tau: Tensor = field(init=False, default_factory=lambda: torch.zeros(()))
    active: bool = field(init=False, default=False)
    pool: Tensor | None = field(init=False, default=None)  # scores of the step that runs
    number: int = field(init=False, default=0)  # examples that it trains on
    seen: list[Tensor] = field(init=False, default_factory=list)  # their scores so far

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")
        within("mining.momentum", self.momentum, "[0, 1)")
        if self.threshold is not None:
            within("mining.threshold", self.threshold, "[0, inf)")
        if self.score not in POSITIVE:
            known = ", ".join(POSITIVE)
            raise ValueError(f"mining.score must be one of {known}, got {self.score}")

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The drawn rows: by importance, repeats among them, or a uniform part."""
        size, number = len(batch), kept(len(batch), self.keep)
        if step_id.step % DECIDE_EVERY == 0:
            self.active = bool(self.tau > self.least(size, number))
        self.pool, self.number, self.seen = None, number, []
        rng = step_id.generator(Purpose.SELECT)
        if self.active:
            self.pool = of_examples(rank(batch))
            return drawn(batch, shares(self.pool), rng.random(number, dtype=np.float32))
        chosen = torch.from_numpy(rng.permutation(size)[:number])
        return batch.rows(chosen.sort().values.to(batch.index.device))

    def least(self, size: int, number: int) -> float:
        """The τ above which drawing `number` of `size` by importance pays."""
        return (size + 3 * number) / (3 * number) if self.threshold is None else self.threshold

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Move τ once the whole step has been seen; what is not finite changes nothing."""
        if not self.number:  # nothing was selected: the warmup
            return
        self.seen.append(of_examples(ranks))
        if sum(map(len, self.seen)) < self.number:
            return
        scores = torch.cat(self.seen) if self.pool is None else self.pool
        held = self.tau.to(scores.device)
        moved = torch.lerp(gain(scores), held, self.momentum)
        self.tau = torch.where(moved.isfinite(), moved, held)
        self.pool, self.number, self.seen = None, 0, []

    def state_dict(self) -> dict[str, Any]:
        """τ, and what was decided by it last."""
        return {"tau": self.tau.cpu(), "active": self.active}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both back."""
        self.tau, self.active = state["tau"], state["active"]


def shares(scores: Tensor) -> Tensor:
    """Probabilities [B] in proportion to the scores [B]; equal ones where all scores are 0."""
    scores = scores.clamp(min=0)  # rank_by=excess may be a little under
    total = scores.sum()
    return torch.where(total == 0, 1 / len(scores), scores / total)


def drawn(batch: Batch, share: Tensor, uniform: np.ndarray) -> Batch:
    """Rows drawn with probabilities `share` [B] by uniform [b] numbers in [0, 1), weighted.

    By inversion of the cumulative sum: a share of 0 has no width there and is never drawn.
    """
    ends = share.cumsum(0)
    at = torch.searchsorted(ends, torch.from_numpy(uniform).to(ends.device) * ends[-1], right=True)
    at = at.clamp(max=len(share) - 1)  # shares that are NaN would lead past the end
    rows = batch.rows(at)
    return replace(rows, weight=rows.weight * spread(1 / (len(share) * share[at]), rows.weight))


def gain(scores: Tensor) -> Tensor:
    """τ: how many times as large a uniform batch would have to be."""
    return (len(scores) * shares(scores).square().sum()).sqrt()
