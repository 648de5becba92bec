"""Mining by a history of ranks, one for each dataset id, from the training passes themselves."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainer.core.batch import Batch
from trainer.core.plan import Plan
from trainer.mining.base import Epoch, Miner, of_examples


@dataclass(kw_only=True)
class RunningScoreMiner(Miner):
    """Base of the miners that decide an epoch by the ranks seen before it.

    `live` takes what each step shows; `frozen` is its copy at the epoch's start, which alone
    decides, so that an epoch gone on with after a stop has the same plan. Both are NaN for what was
    not seen. Under mixing a rank goes to the example with the largest share of the image.
    """

    live: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [M] on the device
    frozen: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [M] on the CPU

    smoothing = 0.0  # what a step leaves of the old value; 0: the last rank alone

    def prepare(self, labels: Tensor) -> None:
        """Begin with nothing seen of the M examples."""
        self.live = torch.full((len(labels),), torch.nan, device=labels.device)
        self.frozen = torch.full((len(labels),), torch.nan)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Decide by what has been seen up to now."""
        self.frozen = self.live.to("cpu", copy=True)

    @torch.no_grad()
    def observe(self, batch: Batch, ranks: Tensor) -> None:
        """Take the ranks [B] (of pixels: their mean); of a repeated example the last stands.

        Every repeat writes the same value, so that their order does not matter on a GPU. A rank
        that is not finite, of a step that the guard has masked, changes nothing.
        """
        _, ids = batch.dominant()
        grouped, order = ids.sort(stable=True)
        last = order[torch.searchsorted(grouped, ids, right=True) - 1]
        ranks, old = of_examples(ranks)[last], self.live[ids]
        new = torch.where(old.isnan(), ranks, old.lerp(ranks, 1 - self.smoothing))
        self.live[ids] = torch.where(ranks.isfinite(), new, old)

    def state_dict(self) -> dict[str, Any]:
        """Both histories."""
        return {"live": self.live.cpu(), "frozen": self.frozen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take them back, each on its own device."""
        self.live.copy_(state["live"])
        self.frozen.copy_(state["frozen"])


def dominant(plan: Plan) -> Tensor:
    """[R] the dataset id with the largest share of each row."""
    return plan.ids.gather(1, plan.shares.argmax(1, keepdim=True))[:, 0]
