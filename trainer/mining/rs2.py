"""RS2, repeated random sampling (Okanovic et al. 2024, https://arxiv.org/abs/2305.18424), sec. 3.1.

RS2 w/o: each epoch trains on another random part of the data, drawn without replacement until all
of it has been used. It is the control for any choice of a part: as cheap, and without a score.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainer.core.plan import Plan
from trainer.core.ranges import within
from trainer.core.seed import Purpose, generator
from trainer.mining.base import Epoch, Miner, keep_count
from trainer.mining.misclassified import restrict


@dataclass(kw_only=True)
class Rs2(Miner):
    """Trains on another random `keep` of the examples in each epoch, every example as often.

    The epochs take their parts from one permutation after the other. Where a part is the end of one
    and the start of the next, examples of the end come later in the next: no example is twice in a
    part, and after any epoch the numbers of times that examples were used differ by 1 at most. Rows
    that repeat an example stay together.
    """

    keep: float = 0.25
    passes: "Passes | None" = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        within("mining.keep", self.keep, "(0, 1]")

    def sampler(self, plan: Plan, epoch: Epoch) -> Plan:
        """The rows of the epoch's part of the examples, in the plan's order."""
        part = self.rows(len(epoch.ids), epoch.number - self.warmup_epochs, epoch.seed)
        return restrict(plan, epoch.ids[part], epoch.batch_size)

    def rows(self, number: int, epoch: int, seed: int = 0) -> Tensor:
        """Positions [m] of an epoch's part of `number` examples; epochs count from 0."""
        size = keep_count(number, self.keep)
        if self.passes is None or self.passes.of != (number, size, seed):
            self.passes = Passes(number, size, seed)
        return self.passes.part(epoch)


class Passes:
    """Permutations of n examples one after the other, cut into parts of m."""

    def __init__(self, number: int, size: int, seed: int) -> None:
        self.of = number, size, seed
        self.index, self.order = -1, torch.arange(number)  # the last pass that was made

    def part(self, epoch: int) -> Tensor:
        """The part [m] of an epoch."""
        number, size, _ = self.of
        first, at = divmod(epoch * size, number)
        part = self.permutation(first)[at : at + size]
        if missing := size - len(part):
            part = torch.cat([part, self.permutation(first + 1)[:missing]])
        return part

    def permutation(self, index: int) -> Tensor:
        """The order [n] of a pass; it depends on those before it, which are made if need be."""
        number, _, seed = self.of
        if index < self.index:
            self.index = -1
        for each in range(self.index + 1, index + 1):
            rng = generator(seed, Purpose.MINE, each)
            fresh = torch.from_numpy(rng.permutation(number))
            self.index, self.order = each, self.continued(fresh, each)
        return self.order

    def continued(self, fresh: Tensor, index: int) -> Tensor:
        """A permutation [n] for a pass, begun by none of the examples that its first part has."""
        number, size, _ = self.of
        had = index * number % size  # examples that the part takes from the end of the last pass
        if not had:
            return fresh
        free = ~torch.isin(fresh, self.order[number - had :])
        begins = free & (free.cumsum(0) <= size - had)
        return torch.cat([fresh[begins], fresh[~begins]])
