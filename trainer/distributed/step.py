"""The train step in several processes: each trains on some rows of one global batch.

Every process knows the whole plan and draws the mixing of the whole batch. It fetches its own rows
and their mixing partners, augmented according to their positions in the plan. Whatever depends on
the whole batch (miner, loss, denominator, finiteness) is computed from gathered values and so is
identical in every process. Gradients and the denominator are summed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.core.batch import Batch, Elements
from trainer.core.forward import evaluating
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.distributed.world import World
from trainer.mining.base import Miner, example_ranks
from trainer.training.part import Part, require_part, require_spare
from trainer.training.step import Learned, Step


class ParallelStep(Step):
    """The step of one of several processes. Every hook is passed the process's `Part`."""

    def __init__(self, world: World, image: tuple[int, int], **parts: Any) -> None:
        super().__init__(**parts)
        self.world = world
        self.image = image  # height and width
        modules = self.forward.model.modules()
        norms = [module for module in modules if isinstance(module, _BatchNorm)]
        statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self.statistics = [value for value in statistics if value is not None]

    def divide(self, plan: Plan, first: StepId) -> tuple[Plan, Sequence[Part | None]]:
        """Return a plan of the rows this process fetches in each step, and its parts."""
        bounds = plan.bounds.tolist()
        parts = [
            self.plan_part(end - row, replace(first, step=first.step + i))
            for i, (row, end) in enumerate(pairwise(bounds))
        ]
        pairs = zip(bounds[:-1], parts, strict=True)
        positions = torch.cat([row + part.fetched for row, part in pairs])
        ends = [0, *accumulate(len(part.fetched) for part in parts)]
        return replace(plan.select(positions, 1), bounds=torch.tensor(ends)), parts

    def plan_part(self, size: int, step_id: StepId) -> Part:
        """Return this process's part of a batch of `size` rows."""
        ends = row_bounds(size, self.world.size)
        sizes = [b - a for a, b in pairwise(ends)]
        first, last = ends[self.world.rank], ends[self.world.rank + 1]
        own = torch.arange(first, last) if last > first else torch.zeros(1, dtype=torch.long)
        whole = self.mixer.decide(size, self.image, step_id.generator(Purpose.MIX), step_id)
        drawing = whole.select(own)
        partners = torch.cat([own[:0], *drawing.partners])
        others = partners[~torch.isin(partners, own)].unique()
        fetched = torch.cat([own, others])
        where = torch.zeros(size, dtype=torch.long)
        where[fetched] = torch.arange(len(fetched))
        drawing = replace(drawing, partners=[where[partner] for partner in drawing.partners])
        return Part(sizes, fetched, last - first, drawing)

    def seed(self, step_id: StepId) -> None:
        """Seed the model's random numbers, differently in each process."""
        rank = [self.world.rank] if self.world.rank else []
        seed_torch(self.forward.device, step_id.seed, Purpose.STEP, step_id.step, *rank)

    def places(self, rows: int, first_row: int, part: Part | None) -> Tensor:
        """Return the positions [f] of the fetched rows in the epoch's plan."""
        return first_row + require_part(part).fetched

    def mix(self, batch: Batch, step_id: StepId, part: Part | None) -> Batch:
        """Mix this process's rows with their partners from the whole batch."""
        drawing = require_part(part).drawing.to(batch.images.device)
        own = batch.select(slice(0, max(1, require_part(part).rows)))
        if not drawing.partners:
            return own
        return self.mixer.mix([own, *map(batch.select, drawing.partners)], drawing)

    def own(self, batch: Batch, part: Part | None) -> tuple[Batch, Part | None]:
        """Return this process's own rows, possibly none, and its part with a spare row."""
        part = require_part(part)
        return batch.select(slice(0, part.rows)), replace(part, spare=batch.select(slice(0, 1)))

    def select(self, batch: Batch, step_id: StepId, part: Part | None) -> tuple[Batch, Part | None]:
        """Return the rows that the miner selects from the whole batch and this process owns."""
        part = require_part(part)
        if not self.miner.selects:
            return batch, part
        whole, _ = self.whole(batch, part)

        def rank(_: Batch) -> Tensor:
            scores = self.ranker(*self.score(batch, part), batch)
            return self.world.gather_rows([scores], part.sizes)[0]

        picked = self.miner.select(whole, rank, step_id)
        ends = torch.tensor(part.sizes, device=picked.images.device).cumsum(0)
        owner = torch.bucketize(picked.images, ends, right=True)
        mine = picked.select(owner == self.world.rank)
        at = mine.images - self.own_slice(part).start
        sizes = owner.bincount(minlength=self.world.size).tolist()
        return mine.with_images(batch.images[at]), replace(part, sizes=sizes)

    def whole(self, batch: Batch, part: Part, *further: Tensor) -> tuple[Batch, list[Tensor]]:
        """Gather the rows of all processes, and `further` values [n, ...] of each row.

        The images are replaced by the rows' positions 0, 1, ...
        """
        fields = [batch.labels, batch.shares, batch.index, batch.weight, batch.count]
        values = self.world.gather_rows([*fields, *further], part.sizes)
        labels, shares, index, weight, count = values[:5]
        places = torch.arange(len(labels), device=labels.device)
        own = {"labels": labels, "shares": shares, "index": index, "weight": weight, "count": count}
        return replace(batch, images=places, **own), values[5:]

    def choose(
        self,
        miner: Miner,
        elements: Elements,
        rank: Callable[[Batch], Tensor],
        step_id: StepId,
        part: Part | None,
    ) -> Batch:
        """Return this process's elements as a miner chooses among those of all processes."""
        part = require_part(part)
        whole, _ = self.whole(elements, part)

        def ranks(_: Batch) -> Tensor:
            return self.world.gather_rows([rank(elements)], part.sizes)[0]

        chosen, own = miner.select(whole, ranks, step_id), self.own_slice(part)
        return replace(elements, weight=chosen.weight[own], count=chosen.count[own])

    def own_slice(self, part: Part) -> slice:
        """Return the slice of this process's rows in the gathered batch."""
        first = sum(part.sizes[: self.world.rank])
        return slice(first, first + part.sizes[self.world.rank])

    def survey(self, outputs: Tensor, losses: Tensor, batch: Batch, part: Part | None) -> None:
        """Pass outputs and losses of the global batch to the loss's survey."""
        if self.loss.batchwise:
            whole, (losses, outputs) = self.whole(batch, require_part(part), losses, outputs)
            self.loss.survey(losses, outputs, whole)

    def weigh_rows(self, ranks: Tensor, batch: Batch, step_id: StepId, part: Part | None) -> Batch:
        """Return this process's rows as the miner weighs them in the global batch."""
        part = require_part(part)
        whole, (ranks,) = self.whole(batch, part, ranks)
        weighed = self.miner.weigh(ranks, whole, step_id)
        own = self.own_slice(part)
        return replace(batch, weight=weighed.weight[own], count=weighed.count[own])

    def count(self, batch: Batch) -> Tensor:
        """Return Σ count over the rows of all processes, a scalar."""
        count = super().count(batch)
        self.world.all_reduce([count])
        return count

    def learn(
        self, batch: Batch, step_id: StepId, part: Part | None = None, *, mining: bool
    ) -> Learned:
        """Accumulate the gradient over this process's rows, if it has any."""
        part = require_part(part)
        if len(batch):
            learned = super().learn(batch, step_id, part, mining=mining)
        else:
            learned = self.learn_nothing(batch, step_id, part, mining=mining)
        for _ in range(self.passes_left(batch)):
            self.backward_nothing(self.forward_spare(part))
        return learned

    def learn_nothing(self, batch: Batch, step_id: StepId, part: Part, *, mining: bool) -> Learned:
        """Take part in the others' collectives without rows: every rank runs backward."""
        pooled = self.pools(mining=mining)
        if pooled and self.accumulate > 1:
            outputs, losses = self.score(batch, part)
            batch = self.elements(outputs, batch, step_id, part, mining=mining)
            batch = self.weigh(outputs, losses, batch, step_id, part, mining=mining)
        outputs = self.forward_spare(part)
        elements = self.task.elements(outputs, require_spare(part))
        if self.accumulate == 1 and isinstance(elements, Elements):
            none = elements.select(slice(0, 0))
            batch = self.chosen(outputs[:0], none, step_id, part, mining=mining)
        if pooled and self.accumulate == 1:
            losses = self.spare_losses(outputs, part)
            batch = self.weigh(outputs[:0], losses, batch, step_id, part, mining=mining)
        denominator = self.count(batch)
        self.backward_nothing(outputs)
        self.spend(0, part)
        return Learned(torch.zeros((), device=self.forward.device), denominator)

    def forward_spare(self, part: Part) -> Tensor:
        """Return outputs of the spare row, leaving BatchNorm's statistics unchanged."""
        with evaluating(self.forward.model):
            if self.task.elementwise:
                self.forward.model.training = True  # outputs are as in training, layers are not
            return self.forward(require_spare(part).images)

    def spare_losses(self, outputs: Tensor, part: Part) -> Tensor:
        """Return no losses, [0, ...], of the shape that the spare row has."""
        return self.contract(outputs, self.task.elements(outputs, require_spare(part)))[:0]

    def backward_nothing(self, outputs: Tensor) -> None:
        """Run a backward pass whose gradients are all 0."""
        if isinstance(outputs, Tensor):  # sharded weights, which need it, have no others
            outputs.backward(torch.zeros_like(outputs))

    def score(self, batch: Batch, part: Part | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs and losses of prepared images, from a read-only pass."""
        part = require_part(part)
        with torch.no_grad():
            if len(batch):
                outputs, losses = super().score(batch, part)
            else:
                whole = self.forward_spare(part)
                outputs, losses = whole[:0], self.spare_losses(whole, part)
                self.spend(0, part, backward=False)
            for _ in range(self.passes_left(batch)):
                self.forward_spare(part)
        return outputs, losses

    def passes_left(self, batch: Batch) -> int:
        """Return how many passes are left to run after the chunks of this process's batch.

        Gathering sharded weights is a collective, so all processes run equally many.
        """
        if not self.world.sharded:
            return 0
        chunk = max(1, -(-len(batch) // self.accumulate))
        return self.accumulate - max(1, -(-len(batch) // chunk))

    def learn_nearby(
        self, learned: Learned, step_id: StepId, part: Part | None, radius: float
    ) -> None:
        """Replace the gradient by that at the highest loss within `radius` (SAM)."""
        self.reduce([])
        super().learn_nearby(learned, step_id, part, radius)

    def update(self, learned: Learned, step_id: StepId) -> bool:
        """Sum gradients over the processes, average BatchNorm statistics, clip and update."""
        self.reduce([learned.total, *self.statistics])
        if self.statistics:
            torch._foreach_div_(self.statistics, self.world.size)
        return super().update(learned, step_id)

    def reduce(self, further: list[Tensor]) -> None:
        """Sum the gradients, and `further` tensors, over the processes in place.

        A parameter that has a gradient in no process keeps none. Gradients of sharded weights were
        already summed in the backward pass.
        """
        parameters = [] if self.world.sharded else self.guard.parameters()
        present = [p.grad is not None for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        counts = torch.tensor(present, dtype=torch.float32, device=self.forward.device)
        self.world.all_reduce([*gradients, counts, *further])
        if not all(present):
            for p, gradient, number in zip(parameters, gradients, counts.tolist(), strict=True):
                p.grad = gradient if number else None

    def spend(self, examples: int, part: Part | None, *, backward: bool = True) -> None:
        """Count the examples of a pass by all processes towards the run's cost."""
        super().spend(sum(require_part(part).sizes), part, backward=backward)

    def observe(self, learned: Learned, step_id: StepId, batch: Batch, part: Part | None) -> None:
        """Pass this process's rows to the meter, and those of all processes to the miner."""
        for plain, outputs, losses in learned.seen:
            self.meter.add(plain, outputs, losses, step_id.step)
        if not self.miner.observes:
            return
        seen = [example_ranks(self.ranker(o, losses, b)) for b, o, losses in learned.seen]
        ranks = torch.cat([torch.zeros(0, device=self.forward.device), *seen])
        labels = batch.labels if batch.labels.ndim < 4 else batch.index
        whole, (ranks,) = self.whole(replace(batch, labels=labels), require_part(part), ranks)
        self.miner.observe(whole, ranks)

    def not_finite(self, learned: Learned) -> list[int]:
        """Return the dataset ids of non-finite rows, over all processes."""
        own = super().not_finite(learned) if learned.seen else []
        return sorted({i for ids in self.world.gather_objects(own) for i in ids})


def row_bounds(size: int, number: int) -> list[int]:
    """Divide `size` rows over processes; return bounds [number + 1].

    None gets a single row of a larger batch: BatchNorm needs two for a variance.
    """
    parts = min(number, max(1, size // 2))
    return [size * min(rank, parts) // parts for rank in range(number + 1)]
