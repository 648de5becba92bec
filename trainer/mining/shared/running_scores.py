"""Mining by the ranks of past training passes, stored by dataset id."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.lazy import set_by
from trainer.core.plan import Plan
from trainer.core.repeats import last_of_each
from trainer.core.state import match
from trainer.mining.base import Epoch, Miner, example_ranks


@dataclass(kw_only=True)
class RunningScoreMiner(Miner):
    """Base of the miners that plan an epoch by the ranks observed before it.

    `observe` updates `live`. The plan depends on `frozen`, its copy from the start of the epoch, so
    that a resumed epoch has the same plan. Both are NaN for unseen examples. The rank of a mixed
    image goes to the example with the largest share of it.
    """

    live = set_by("prepare(labels)")  # ranks [M] on the device
    frozen = set_by("prepare(labels)")  # ranks [M] on the CPU

    smoothing = 0.0  # the weight of the old value in an update; 0: only the last rank counts

    def prepare(self, labels: Tensor) -> None:
        """Mark all examples of the labels [M, ...] as unseen."""
        self.live: Tensor = torch.full((len(labels),), torch.nan, device=labels.device)
        self.frozen: Tensor = torch.full((len(labels),), torch.nan)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Freeze the ranks observed so far."""
        self.frozen = self.live.to("cpu", copy=True)

    @torch.no_grad()
    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Record the ranks [B], or the mean of [B, H, W] over pixels; of repeats, the last one.

        All repeats of an example write the same value, so the order of writes on a GPU does not
        matter. Ranks that are not finite, from a skipped step, are ignored.
        """
        _, ids = batch.dominant()
        last = last_of_each(ids)
        ranks, old = example_ranks(ranks)[last], self.live[ids]
        new = torch.where(old.isnan(), ranks, old.lerp(ranks, 1 - self.smoothing))
        self.live[ids] = torch.where(ranks.isfinite(), new, old)

    def state_dict(self) -> dict[str, Any]:
        """Live and frozen ranks, on the CPU."""
        return {"live": self.live.cpu(), "frozen": self.frozen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both, each on its own device. Raises ValueError for other shapes."""
        own = {"live": self.frozen, "frozen": self.frozen}  # shapes; live is on the device
        ranks = match(own, state)
        self.live.copy_(ranks["live"])
        self.frozen.copy_(ranks["frozen"])


def dominant(plan: Plan) -> Tensor:
    """The dataset ids [R] with the largest share of each of a plan's rows."""
    return plan.ids.gather(1, plan.shares.argmax(1, keepdim=True))[:, 0]
