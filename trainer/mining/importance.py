"""Importance sampling (Katharopoulos and Fleuret 2018, https://arxiv.org/abs/1803.00942), alg. 1.

From a pool of B examples, b are drawn with probabilities g_i in proportion to an upper bound of
the gradient norm, eq. 20; for softmax cross entropy that is ‖p − onehot‖, the score el2n. Weights
1 / (B g_i) make the mean over the drawn examples an unbiased estimate of the mean over the pool.

Importance sampling is on only while it pays. With u = 1/B it is worth a batch τ times as large,
eq. 26:
1/τ = (1 − ‖g − u‖² / Σ g_i²)^½; since ‖g − u‖² = Σ g_i² − 1/B, that is τ = (B Σ g_i²)^½. Scoring
B and training on b costs B + 3b forward passes, a larger batch 3τb, so it pays for τ above
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
from trainer.core.state import match_tensor, match_type
from trainer.mining.base import Miner, Score, example_ranks, keep_count
from trainer.mining.shared.late_number import LateNumber

POSITIVE = ("loss", "confidence", "el2n")  # scores that vanish only where the loss does
DECIDE_EVERY = 10  # steps; reading τ waits for a GPU's last step


@dataclass(kw_only=True)
class Importance(Miner):
    """Trains on `keep` of each batch, drawn by importance or uniformly; `batch_size` is the pool.

    τ is a moving average that starts at 0. It is computed from the pool's scores or, while drawing
    is uniform, from those of the examples trained on, so that estimating τ needs no scoring pass.
    Uniform drawing is without replacement and with weight 1. Counts are unchanged.
    """

    keep: float = 0.333
    threshold: float | None = None
    momentum: float = 0.9
    score: Score = "el2n"
    tau: Tensor = field(init=False, default_factory=lambda: torch.zeros(()))
    known: LateNumber = field(init=False, default_factory=LateNumber)  # τ, as the host knows it
    active: bool = field(init=False, default=False)
    pool: Tensor | None = field(init=False, default=None)  # [B] scores of the current step
    number: int = field(init=False, default=0)  # examples in the current step
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
        """The rows drawn by importance, with replacement, or uniformly, without."""
        size, number = len(batch), keep_count(len(batch), self.keep)
        if step_id.step % DECIDE_EVERY == 0:
            self.active = self.known.read() > self.break_even(size, number)
        self.pool, self.number, self.seen = None, number, []
        rng = step_id.generator(Purpose.SELECT)
        if self.active:
            self.pool = example_ranks(rank(batch))
            rows, weights = self.draw(self.pool, rng)
            batch = batch.select(rows)
            return replace(batch, weight=batch.weight * spread(weights, batch.weight))
        chosen = torch.from_numpy(rng.permutation(size)[:number]).sort().values
        return batch.select(chosen.to(batch.index.device, non_blocking=True))

    def draw(self, scores: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Positions [b] and weights [b] drawn by importance from the scores [B] of a pool."""
        share = shares(scores)
        uniform = rng.random(keep_count(len(scores), self.keep), dtype=np.float32)
        drawn = torch.from_numpy(uniform).to(share.device, non_blocking=True)
        rows = inverse_sample(share, drawn)
        return rows, 1 / (len(share) * share[rows])

    def break_even(self, size: int, number: int) -> float:
        """The τ above which drawing `number` of `size` by importance pays, eq. 29."""
        return (size + 3 * number) / (3 * number) if self.threshold is None else self.threshold

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Update τ by the ranks [B] or [B, H, W] once the whole step is observed, if finite."""
        if not self.number:  # select() was not called: the warmup
            return
        self.seen.append(example_ranks(ranks))
        if sum(map(len, self.seen)) < self.number:
            return
        scores = torch.cat(self.seen) if self.pool is None else self.pool
        tau = self.tau.to(scores.device, non_blocking=True)
        updated = torch.lerp(gain(scores), tau, self.momentum)
        self.tau = torch.where(updated.isfinite(), updated, tau)
        self.known.send(self.tau)
        self.pool, self.number, self.seen = None, 0, []

    def state_dict(self) -> dict[str, Any]:
        """τ, and whether the last decision was to draw by importance."""
        return {"tau": self.tau.cpu(), "active": self.active}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore τ and the last decision."""
        self.tau = match_tensor(torch.zeros(()), state["tau"], "tau")
        self.known.send(self.tau)
        self.active = match_type(bool, state["active"], "active")


def shares(scores: Tensor) -> Tensor:
    """Probabilities [B] in proportion to the scores [B]; uniform if all scores are 0."""
    scores = scores.clamp(min=0)  # rank_by=excess may be slightly negative
    total = scores.sum()
    return torch.where(total == 0, 1 / len(scores), scores / total)


def inverse_sample(share: Tensor, uniform: Tensor) -> Tensor:
    """Positions [b] drawn with probabilities `share` [B] by uniform [b] numbers in [0, 1).

    The cumulative sum is inverted; a share of 0 has no width there and is never drawn.
    """
    ends = share.cumsum(0)
    rows = torch.searchsorted(ends, uniform * ends[-1], right=True)
    return rows.clamp(max=len(share) - 1)  # a NaN among the shares gives a row past the end


def gain(scores: Tensor) -> Tensor:
    """τ, the factor by which a uniform batch would have to be larger, from the scores [B]."""
    return (len(scores) * shares(scores).square().sum()).sqrt()
