"""The plan of an epoch: which examples, in which order, cut into batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

AT_ONCE = 256  # steps that are cut together: cheaper than one by one, and small in memory


@dataclass(slots=True)
class StepRows:
    """What a plan says of the rows of one step."""

    ids: Tensor  # [B, K]
    shares: Tensor  # [B, K]
    weight: Tensor  # [B]
    count: Tensor  # [B]


@dataclass(frozen=True)
class Plan:
    """R rows in order. A row is a training example, or a blend of K of them (SMOTE)."""

    ids: Tensor  # [R, K] dataset ids
    shares: Tensor  # [R, K] rows sum to 1
    weight: Tensor  # [R] factor on the loss
    count: Tensor  # [R] what the row adds to the denominator
    bounds: Tensor  # [S + 1] step i trains on the rows bounds[i] to bounds[i + 1]

    @classmethod
    def of(cls, ids: Tensor, batch_size: int, shares: Tensor | None = None) -> "Plan":
        """A plan over ids [R] or [R, K], each with weight and count 1."""
        ids = ids[:, None] if ids.ndim == 1 else ids
        ones = torch.ones(1).expand(len(ids))  # a view: no memory for each row
        shares = ones[:, None] if shares is None else shares
        return cls(ids, shares, ones, ones, cut(len(ids), batch_size))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def steps(self) -> int:
        """Number of optimizer steps in the epoch."""
        return len(self.bounds) - 1

    def pieces(self, start: int = 0) -> Iterator[StepRows]:
        """The rows of each step, from step `start` on, as views."""
        parts = self.ids, self.shares, self.weight, self.count
        for step in range(start, self.steps, AT_ONCE):
            bounds = self.bounds[step : step + AT_ONCE + 1]
            sizes, rows = bounds.diff().tolist(), slice(int(bounds[0]), int(bounds[-1]))
            yield from map(StepRows, *(part[rows].split(sizes) for part in parts))

    def rows(self, at: Tensor, batch_size: int) -> "Plan":
        """The plan of the rows `at` [r], cut anew."""
        ids, shares, weight, count = (  # a fifth of the time that indexing takes
            part.index_select(0, at) for part in (self.ids, self.shares, self.weight, self.count)
        )
        return Plan(ids, shares, weight, count, cut(len(at), batch_size))

    def weighted(self, factor: Tensor) -> "Plan":
        """The plan with each row's weight multiplied by factor [R]; counts stay."""
        return replace(self, weight=self.weight * factor)

    def with_added(self, extra: Tensor, weight: float) -> "Plan":
        """Each step of b rows gets `len(extra) / S` rows more: L(batch) + weight * L(extra).

        extra [E] ids, handed out in order to the S steps in proportion to their rows. Added rows
        have count 0 and weight `weight * b / e`, so that they add `weight` times their own mean.
        """
        own = self.bounds.diff()
        ends = (self.bounds * len(extra)).div(max(len(self), 1), rounding_mode="floor")
        added = ends.diff()
        # Each step's own rows stay first, the added come behind them.
        own_at = torch.arange(len(self)) + ends[:-1].repeat_interleave(own)
        extra_at = torch.arange(len(extra)) + self.bounds[1:].repeat_interleave(added)

        def merged(own: Tensor, extra: Tensor) -> Tensor:
            made = own.new_empty(len(own) + len(extra), *own.shape[1:])
            return made.index_copy_(0, own_at, own).index_copy_(0, extra_at, extra)

        each = weight * own / added.clamp(min=1)
        extra_ids = extra[:, None].expand(-1, self.ids.shape[1])
        extra_shares = torch.zeros(len(extra), self.ids.shape[1])
        extra_shares[:, 0] = 1
        return Plan(
            merged(self.ids, extra_ids),
            merged(self.shares, extra_shares),
            merged(self.weight, each.repeat_interleave(added)),
            merged(self.count, torch.zeros(len(extra))),
            self.bounds + ends,
        )

    def to(self, device: torch.device) -> "Plan":
        """The plan with its rows on the device; the bounds stay on the CPU."""
        ids, shares, weight, count = (
            part.to(device) for part in (self.ids, self.shares, self.weight, self.count)
        )
        return Plan(ids, shares, weight, count, self.bounds)


def cut(rows: int, batch_size: int) -> Tensor:
    """Bounds [S + 1] of the batches of an epoch.

    A last batch of one row joins the batch before it: BatchNorm has no variance of one example.
    """
    last = rows % batch_size
    steps = rows // batch_size + (last > 0)
    if last == 1 and steps > 1 and batch_size > 1:
        steps -= 1
    bounds = torch.arange(steps + 1) * batch_size
    bounds[-1] = rows
    return bounds


def class_counts(plan: Plan, labels: Tensor, classes: int) -> Tensor:
    """[C] rows of each class in an epoch, from labels [M] by id: a blend counts by its shares."""
    counts = torch.zeros(classes, dtype=torch.float64)
    shares = plan.shares.expand(plan.ids.shape).double()
    return counts.index_add_(0, labels[plan.ids].flatten(), shares.flatten())
