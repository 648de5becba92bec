"""The train step of several processes: each has some rows of one global batch.

Every process knows the whole plan and draws the mixing of the whole batch. It fetches its own rows
and their mixing partners, which are augmented by their own places in the plan. What depends on the
whole batch (miner, loss, denominator, finiteness) is decided from gathered numbers, the same in
every process. Gradients and the denominator are summed.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from trainer.core.batch import Batch
from trainer.core.plan import Plan
from trainer.core.seed import Purpose, StepId, seed_torch
from trainer.distributed.world import World
from trainer.mining import Miner
from trainer.mining.base import example_ranks
from trainer.training.step import Learned, Part, Step


class ParallelStep(Step):
    """The step of one of several processes. Each hook is handed the process's part of the batch."""

    def __init__(self, world: World, image: tuple[int, int], **parts: Any) -> None:
        super().__init__(**parts)
        self.world = world
        self.image = image  # height and width
        modules = self.forward.model.modules()
        norms = [module for module in modules if isinstance(module, _BatchNorm)]
        statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self.statistics = [value for value in statistics if value is not None]

    def divide(self, plan: Plan, first: StepId) -> tuple[Plan, Sequence[Part | None]]:
        """The rows that this process fetches, one step for each of the plan's, and its parts."""
        bounds = plan.bounds.tolist()
        parts = [
            self.part_of(end - row, replace(first, step=first.step + i))
            for i, (row, end) in enumerate(pairwise(bounds))
        ]
        pairs = zip(bounds[:-1], parts, strict=True)
        at = torch.cat([row + part.fetched for row, part in pairs])
        ends = [0, *accumulate(len(part.fetched) for part in parts)]
        return replace(plan.rows(at, 1), bounds=torch.tensor(ends)), parts

    def part_of(self, size: int, step_id: StepId) -> Part:
        """The process's part of a batch of `size` rows."""
        ends = spans(size, self.world.size)
        sizes = [b - a for a, b in pairwise(ends)]
        first, last = ends[self.world.rank], ends[self.world.rank + 1]
        own = torch.arange(first, last) if last > first else torch.zeros(1, dtype=torch.long)
        whole = self.mixer.decide(size, self.image, step_id.generator(Purpose.MIX), step_id)
        drawing = whole.rows(own)
        partners = torch.cat([own[:0], *drawing.partners])
        others = partners[~torch.isin(partners, own)].unique()
        fetched = torch.cat([own, others])
        where = torch.zeros(size, dtype=torch.long)
        where[fetched] = torch.arange(len(fetched))
        drawing = replace(drawing, partners=[where[partner] for partner in drawing.partners])
        return Part(sizes, fetched, last - first, drawing)

    def seed(self, step_id: StepId) -> None:
        """Seed what the model draws in a step; dropout differs between processes."""
        rank = [self.world.rank] if self.world.rank else []
        seed_torch(self.forward.device, step_id.seed, Purpose.STEP, step_id.step, *rank)

    def places(self, batch: Batch, first_row: int, part: Part | None) -> Tensor:
        """The fetched rows' places in the epoch's plan."""
        return first_row + given(part).fetched

    def mix(self, batch: Batch, step_id: StepId, part: Part | None) -> Batch:
        """The process's rows, mixed with their partners of the whole batch."""
        drawing = given(part).drawing.to(batch.images.device)
        own = batch.rows(slice(0, max(1, given(part).rows)))
        if not drawing.partners:
            return own
        return self.mixer.mix([own, *map(batch.rows, drawing.partners)], drawing)

    def own(self, batch: Batch, part: Part | None) -> tuple[Batch, Part | None]:
        """The prepared rows that are this process's, maybe none; one is kept as the spare."""
        part = given(part)
        return batch.rows(slice(0, part.rows)), replace(part, spare=batch.rows(slice(0, 1)))

    def select(self, batch: Batch, step_id: StepId, part: Part | None) -> tuple[Batch, Part | None]:
        """The rows that the miner selects from the whole batch, as far as this process has them."""
        part = given(part)
        if type(self.miner).select is Miner.select:
            return batch, part
        whole, _ = self.whole(batch, part)

        def rank(_: Batch) -> Tensor:
            scores = self.ranker(*self.score(batch, part), batch)
            return self.world.gather_rows([scores], part.sizes)[0]

        picked = self.miner.select(whole, rank, step_id)
        ends = torch.tensor(part.sizes, device=picked.images.device).cumsum(0)
        owner = torch.bucketize(picked.images, ends, right=True)
        mine = picked.rows(owner == self.world.rank)
        at = mine.images - self.rows_of(part).start
        sizes = owner.bincount(minlength=self.world.size).tolist()
        return mine.with_images(batch.images[at]), replace(part, sizes=sizes)

    def whole(self, batch: Batch, part: Part, *further: Tensor) -> tuple[Batch, list[Tensor]]:
        """The rows of all processes, and further values [n, ...] of each.

        The images are replaced by the rows' places, 0, 1, ...
        """
        fields = [batch.labels, batch.shares, batch.index, batch.weight, batch.count]
        values = self.world.gather_rows([*fields, *further], part.sizes)
        places = torch.arange(len(values[0]), device=values[0].device)
        return Batch(places, *values[:5]), values[5:]

    def rows_of(self, part: Part) -> slice:
        """Where this process's rows are among those of all."""
        first = sum(part.sizes[: self.world.rank])
        return slice(first, first + part.sizes[self.world.rank])

    @torch.no_grad()
    def weigh(
        self,
        outputs: Tensor,
        losses: Tensor,
        batch: Batch,
        step_id: StepId,
        part: Part | None = None,
        *,
        mining: bool,
    ) -> Batch:
        """Show the loss, then the miner, the whole effective batch."""
        part = given(part)
        outputs, losses = outputs.detach(), losses.detach()
        if self.loss.batchwise:
            whole, (every_loss, every_output) = self.whole(batch, part, losses, outputs)
            self.loss.survey(every_loss, every_output, whole)
        if not (mining and self.miner.pooled):
            return batch
        ranks = self.ranker(outputs, self.loss.reweigh(losses, outputs, batch), batch)
        whole, (ranks,) = self.whole(batch, part, ranks)
        weighed = self.miner.weigh(ranks, whole, step_id)
        own = self.rows_of(part)
        return replace(batch, weight=weighed.weight[own], count=weighed.count[own])

    def count(self, batch: Batch) -> Tensor:
        """Σ count of the whole effective batch."""
        count = super().count(batch)
        self.world.all_reduce([count])
        return count

    def learn(
        self, batch: Batch, step_id: StepId, part: Part | None = None, *, mining: bool
    ) -> Learned:
        """Forward and backward over this process's rows, if there are any."""
        part = given(part)
        if len(batch):
            learned = super().learn(batch, step_id, part, mining=mining)
        else:
            learned = self.learn_nothing(batch, step_id, part, mining=mining)
        for _ in range(self.passes_left(batch)):
            self.backward_nothing(self.forward_spare(part))
        return learned

    def learn_nothing(self, batch: Batch, step_id: StepId, part: Part, *, mining: bool) -> Learned:
        """Join the others' collectives without own rows: every rank runs backward."""
        pooled = self.loss.batchwise or (mining and self.miner.pooled)
        if pooled and self.accumulate > 1:
            batch = self.weigh(*self.score(batch, part), batch, step_id, part, mining=mining)
        outputs = self.forward_spare(part)
        if pooled and self.accumulate == 1:
            losses = self.contract(outputs, spare_of(part))
            batch = self.weigh(outputs[:0], losses[:0], batch, step_id, part, mining=mining)
        denominator = self.count(batch)
        self.backward_nothing(outputs)
        self.spend(0, part)
        return Learned(torch.zeros((), device=self.forward.device), denominator)

    def forward_spare(self, part: Part) -> Tensor:
        """The outputs of the spare row, without a trace in BatchNorm's statistics."""
        with evaluating(self.forward.model):
            return self.forward(spare_of(part).images)

    def backward_nothing(self, outputs: Tensor) -> None:
        """A backward pass whose gradients are 0."""
        outputs.backward(torch.zeros_like(outputs))

    def score(self, batch: Batch, part: Part | None = None) -> tuple[Tensor, Tensor]:
        """Outputs and losses of prepared images by a read-only pass."""
        part = given(part)
        with torch.no_grad():
            if len(batch):
                outputs, losses = super().score(batch, part)
            else:
                whole = self.forward_spare(part)
                outputs, losses = whole[:0], self.contract(whole, spare_of(part))[:0]
                self.spend(0, part, backward=False)
            for _ in range(self.passes_left(batch)):
                self.forward_spare(part)
        return outputs, losses

    def passes_left(self, batch: Batch) -> int:
        """Passes that other processes may make after those of a batch's chunks.

        Sharded weights are gathered by all at once: each makes as many.
        """
        if not self.world.sharded:
            return 0
        chunk = max(1, -(-len(batch) // self.accumulate))
        return self.accumulate - max(1, -(-len(batch) // chunk))

    def learn_nearby(
        self, learned: Learned, step_id: StepId, part: Part | None, radius: float
    ) -> None:
        """Replace the gradient by that of the highest loss within a radius of the weights (SAM)."""
        self.reduce([])
        super().learn_nearby(learned, step_id, part, radius)

    def update(self, learned: Learned, step_id: StepId) -> bool:
        """Sum over the processes, clip, check, update; running statistics become their means."""
        self.reduce([learned.total, *self.statistics])
        if self.statistics:
            torch._foreach_div_(self.statistics, self.world.size)
        return super().update(learned, step_id)

    def reduce(self, further: list[Tensor]) -> None:
        """Sum the gradients, and further tensors.

        A parameter that no process has a gradient of keeps none. Those of sharded weights have been
        summed in the backward pass.
        """
        groups = [] if self.world.sharded else self.guard.optimizer.param_groups
        parameters = [p for group in groups for p in group["params"] if p.requires_grad]
        given = [p.grad is not None for p in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        there = torch.tensor(given, dtype=torch.float32, device=self.forward.device)
        self.world.all_reduce([*gradients, there, *further])
        if not all(given):
            for p, gradient, number in zip(parameters, gradients, there.tolist(), strict=True):
                p.grad = gradient if number else None

    def spend(self, examples: int, part: Part | None, *, backward: bool = True) -> None:
        """Count the examples of all processes."""
        super().spend(sum(given(part).sizes), part, backward=backward)

    def observe(self, learned: Learned, step_id: StepId, batch: Batch, part: Part | None) -> None:
        """Show the meter this process's rows, and the miner those of all."""
        for plain, outputs, losses in learned.seen:
            self.meter.add(plain, outputs, losses, step_id.step)
        if type(self.miner).observe is Miner.observe:
            return
        seen = [example_ranks(self.ranker(o, losses, b)) for b, o, losses in learned.seen]
        ranks = torch.cat([torch.zeros(0, device=self.forward.device), *seen])
        labels = batch.labels if batch.labels.ndim < 4 else batch.index
        whole, (ranks,) = self.whole(replace(batch, labels=labels), given(part), ranks)
        self.miner.observe(whole, ranks)

    def not_finite(self, learned: Learned) -> list[int]:
        """Dataset ids of the rows of all processes whose loss is not finite."""
        own = super().not_finite(learned) if learned.seen else []
        return sorted({i for ids in self.world.gather_objects(own) for i in ids})


def given(part: Part | None) -> Part:
    """The part that a step of several processes is always called with."""
    if part is None:
        raise ValueError("a step of several processes needs this process's part of the batch")
    return part


def spare_of(part: Part) -> Batch:
    """The prepared row of a part that is kept for passes without own rows."""
    if part.spare is None:
        raise ValueError("the part has no spare row before its batch is prepared")
    return part.spare


def spans(size: int, number: int) -> list[int]:
    """Ends [number + 1] of the rows of each process, at least two where one has any."""
    parts = min(number, max(1, size // 2))
    return [size * min(rank, parts) // parts for rank in range(number + 1)]


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model in eval mode, with gradient."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
