"""Selective-Backprop (Jiang et al. 2019, https://arxiv.org/abs/1910.00762), sec. 3.2.

All examples go forward; each gets a gradient with probability CDF(loss)^β, the CDF being that of
the most recent losses.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Batch, only
from trainer.core.lazy import set_by
from trainer.core.ranges import within
from trainer.core.repeats import last_of_each
from trainer.core.seed import Purpose, StepId
from trainer.core.state import match_tensor, match_type, optional
from trainer.mining.base import Epoch, Miner, example_ranks
from trainer.mining.shared.row_queue import RowQueue


@dataclass(kw_only=True)
class SelectiveBackprop(Miner):
    """Keeps an example with probability CDF(loss)^β, where the CDF is that of recent losses.

    The last `history` losses include the batch's own, as in the authors' code, so the highest is
    always kept and no batch is dropped entirely. If losses change slowly, 1 / (β + 1) of the
    examples are kept; before the first step, all are. The loss of a mask is the mean over its
    pixels.

    `one_pass`: a training pass of the whole batch, in which the dropped examples are masked; it
    saves nothing. `two_pass`: a read-only pass scores the batch, the examples kept wait in a queue
    as they were augmented and mixed, and once they fill a batch, one forward and backward pass
    trains on them (see `RowQueue`). A step without a full batch makes no update, and counts as a
    step: schedules, logs and `steps` follow the data that was read, not the updates. What still
    waits at the end of the run is not trained on.

    `stale`, n: a read-only pass in every n-th epoch alone; in between, an example has the score of
    the last one (StaleSB in the paper), and the highest if it has none.
    """

    mode: Literal["one_pass", "two_pass"] = "one_pass"
    beta: float = 1.0
    history: int = 1024
    stale: int = 1
    warmup_epochs: int = 1
    window: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [history] or fewer
    queue: RowQueue | None = field(init=False, repr=False, default=None)
    labels = set_by("prepare(labels)")  # [M, ...] by dataset id, on the device
    scores = set_by("prepare(labels)")  # [M] by dataset id, on the device; infinite if unseen

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.beta", self.beta, "[0, inf)")
        within("mining.history", self.history, "[1, inf)")
        within("mining.stale", self.stale, "[1, inf)")
        if self.stale > 1 and self.mode == "one_pass":
            raise ValueError(f"mining.stale={self.stale} needs mining.mode=two_pass")
        self.pooled = self.mode == "one_pass"
        self.delays = self.mode == "two_pass"
        if self.delays:
            single = ("class", "multilabel")  # whose labels do not move with the image
            self.targets = single  # pyright: ignore[reportAttributeAccessIssue]  # this object

    @property
    def selects(self) -> bool:
        """True in two passes."""
        return self.delays

    def prepare(self, labels: Tensor) -> None:
        """Receive the labels [M, ...] by dataset id."""
        super().prepare(labels)
        self.labels: Tensor = labels
        self.scores: Tensor = torch.full((len(labels),), torch.inf, device=labels.device)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """In two passes, begin the queue, or begin anew where the batch size is another."""
        size = min(epoch.batch_size, len(epoch.ids))
        if self.delays and (self.queue is None or self.queue.size != size):
            self.queue = RowQueue(size, self.labels, self.words)

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """In two passes, the next full batch of the queue, or no rows; otherwise all rows."""
        if not self.delays:
            return batch
        if self.queue is None:
            self.queue = RowQueue(len(batch), self.labels, self.words)
        ranks = self.scored(batch, rank, step_id.epoch)
        chosen = torch.ones_like(ranks, dtype=torch.bool)
        if len(self.window):
            chosen = self.drawn(ranks, step_id.generator(Purpose.SELECT))
        self.window = self.pushed(ranks)
        return self.queue.exchange(batch, chosen)

    def scored(self, batch: Batch, rank: Callable[[Batch], Tensor], epoch: int) -> Tensor:
        """Scores [B] of a batch: by a read-only pass, or those of an earlier epoch.

        The score of a mixed image goes to the example with the largest share; in between it is the
        share-weighted sum over its examples.
        """
        if (epoch - self.warmup_epochs) % self.stale:
            return torch.where(batch.shares > 0, batch.shares * self.scores[batch.index], 0).sum(1)
        ranks = example_ranks(rank(batch))
        if self.stale > 1:
            _, ids = batch.dominant()
            self.scores[ids] = ranks[last_of_each(ids)]
        return ranks

    def weigh(self, ranks: Tensor, batch: Batch, step_id: StepId) -> Batch:
        """Set weight and count to 0 for the dropped examples."""
        if not len(self.window):
            return batch
        return only(batch, self.drawn(example_ranks(ranks), step_id.generator(Purpose.MINE)))

    def mask(self, losses: Tensor, rng: np.random.Generator) -> Tensor:
        """Mask [B] of the examples to keep by their losses [B], which join the window."""
        losses = losses.detach()
        keep = self.drawn(losses, rng) if len(self.window) else torch.ones_like(losses).bool()
        self.window = self.pushed(losses)
        return keep

    def drawn(self, ranks: Tensor, rng: np.random.Generator) -> Tensor:
        """Mask [B] of the examples to keep, drawn by their ranks [B]."""
        uniform = torch.from_numpy(rng.random(len(ranks), dtype=np.float32))
        return uniform.to(ranks.device, non_blocking=True) < self.chance(ranks)

    def chance(self, ranks: Tensor) -> Tensor:
        """CDF(rank)^β of each of the ranks [B]."""
        recent = self.pushed(ranks).sort().values
        below = torch.searchsorted(recent, ranks, right=True)
        return (below / len(recent)) ** self.beta

    def pushed(self, ranks: Tensor) -> Tensor:
        """The last `history` of the window's ranks and the ranks [B]."""
        window = self.window.to(ranks.device, non_blocking=True)
        return torch.cat([window, ranks])[-self.history :]

    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Append the ranks [B] or [B, H, W] of a step, those of dropped examples included.

        In two passes `select` has done so, but for the warmup.
        """
        if self.queue is None:
            self.window = self.pushed(example_ranks(ranks))

    def state_dict(self) -> dict[str, Any]:
        """The window of recent ranks; in two passes also the queue, and the scores if stale."""
        state: dict[str, Any] = {"window": self.window.cpu()}
        if self.delays:
            state["queue"] = None if self.queue is None else self.queue.state_dict()
        if self.stale > 1:
            state["scores"] = self.scores.cpu()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the window, the queue and the scores. Raises ValueError where they do not fit."""
        window = state["window"]
        number = min(len(window), self.history)
        self.window = match_tensor(torch.empty(number), window, "window")
        if self.stale > 1:
            own = torch.empty(len(self.scores))
            self.scores.copy_(match_tensor(own, state["scores"], "scores"))
        if self.delays:
            self.restore(optional(dict, state["queue"], "queue"))

    def restore(self, queue: dict[str, Any] | None) -> None:
        """Restore the queue; None before the first selection."""
        self.queue = None
        if queue is None:
            return
        size = match_type(int, queue["size"], "queue.size")
        within("queue.size", size, f"[1, {len(self.labels)}]")
        self.queue = RowQueue(size, self.labels, self.words)
        self.queue.load_state_dict(queue)
