"""The plan of an epoch: which examples, in which order, cut into batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

AT_ONCE = 256  # steps split together: faster than one by one, without much memory


@dataclass(slots=True)
class StepRows:
    """The rows of one step: B rows, each a training example or a blend of K of them."""

    ids: Tensor  # [B, K] dataset ids
    shares: Tensor  # [B, K] rows sum to 1
    weight: Tensor  # [B] factor on the loss
    count: Tensor  # [B] what the row adds to the denominator


@dataclass(frozen=True)
class Plan:
    """An epoch: R rows in order. A row is a training example, or a blend of K of them (SMOTE)."""

    ids: Tensor  # [R, K] dataset ids
    shares: Tensor  # [R, K] rows sum to 1
    weight: Tensor  # [R] factor on the loss
    count: Tensor  # [R] what the row adds to the denominator
    bounds: Tensor  # [S + 1] step i trains on the rows bounds[i] to bounds[i + 1]

    @classmethod
    def of(cls, ids: Tensor, batch_size: int, shares: Tensor | None = None) -> "Plan":
        """Make a plan of ids [R] or [R, K] and shares [R, K], each row with weight and count 1."""
        ids = ids[:, None] if ids.ndim == 1 else ids
        ones = torch.ones(1).expand(len(ids))  # a view: no memory for each row
        shares = ones[:, None] if shares is None else shares
        return cls(ids, shares, ones, ones, batch_bounds(len(ids), batch_size))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def steps(self) -> int:
        """Number of optimizer steps in the epoch."""
        return len(self.bounds) - 1

    def step_rows(self, start: int = 0) -> Iterator[StepRows]:
        """Yield the rows of each step from step `start` on, as views of the plan."""
        parts = self.ids, self.shares, self.weight, self.count
        for step in range(start, self.steps, AT_ONCE):
            bounds = self.bounds[step : step + AT_ONCE + 1]
            sizes, rows = bounds.diff().tolist(), slice(int(bounds[0]), int(bounds[-1]))
            yield from map(StepRows, *(part[rows].split(sizes) for part in parts))

    def select(self, at: Tensor, batch_size: int) -> "Plan":
        """Return the plan of the rows at positions `at` [r], split into batches again."""
        ids, shares, weight, count = (  # takes a fifth of the time of indexing
            part.index_select(0, at) for part in (self.ids, self.shares, self.weight, self.count)
        )
        return Plan(ids, shares, weight, count, batch_bounds(len(at), batch_size))

    def weighted(self, factor: Tensor) -> "Plan":
        """Return the plan with the weights multiplied by `factor` [R] and the same counts."""
        return replace(self, weight=self.weight * factor)

    def with_added(self, extra: Tensor, weight: float) -> "Plan":
        """Return the plan with rows for `extra` added: the loss is L(batch) + weight · L(extra).

        The ids `extra` [E] go in order to the S steps, in proportion to the rows of each. The e
        rows added to a step of b rows have count 0 and weight `weight * b / e`, so that they add
        `weight` times their own mean loss.
        """
        own = self.bounds.diff()
        ends = (self.bounds * len(extra)).div(max(len(self), 1), rounding_mode="floor")
        added = ends.diff()
        # Each step's own rows stay first, the added ones follow.
        own_at = torch.arange(len(self)) + ends[:-1].repeat_interleave(own)
        extra_at = torch.arange(len(extra)) + self.bounds[1:].repeat_interleave(added)

        def merged(own: Tensor, extra: Tensor) -> Tensor:
            rows = own.new_empty(len(own) + len(extra), *own.shape[1:])
            return rows.index_copy_(0, own_at, own).index_copy_(0, extra_at, extra)

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
        """Return the plan with its rows on `device`; the bounds stay on the CPU."""
        ids, shares, weight, count = (
            part.to(device) for part in (self.ids, self.shares, self.weight, self.count)
        )
        return Plan(ids, shares, weight, count, self.bounds)


def batch_bounds(rows: int, batch_size: int) -> Tensor:
    """Return the bounds [S + 1] that split an epoch of `rows` rows into S batches.

    A last batch of one row joins the one before: BatchNorm needs two examples for a variance.
    """
    last = rows % batch_size
    steps = rows // batch_size + (last > 0)
    if last == 1 and steps > 1 and batch_size > 1:
        steps -= 1
    bounds = torch.arange(steps + 1) * batch_size
    bounds[-1] = rows
    return bounds


def class_counts(plan: Plan, labels: Tensor, classes: int) -> Tensor:
    """Count the rows of each class [C] in an epoch, given labels [M] by dataset id.

    A blend counts for each of its classes by its share, an example with labels bool [M, C] for each
    of them.
    """
    counts = torch.zeros(classes, dtype=torch.float64)
    shares = plan.shares.expand(plan.ids.shape).double()
    if labels.ndim == 2:
        by_example = torch.zeros(len(labels), dtype=torch.float64)
        by_example.index_add_(0, plan.ids.flatten(), shares.flatten())
        return by_example @ labels.double()
    return counts.index_add_(0, labels[plan.ids].flatten(), shares.flatten())
