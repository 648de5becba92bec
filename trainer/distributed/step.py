"""The train step of several processes: one global batch, of which each has some rows.

Every process knows the whole plan and draws the whole batch's mixing; it fetches its own rows and
those that these are mixed with, which are augmented by their own places in the plan. What depends
on the whole batch (a miner, a loss, the denominator, the finiteness of the loss) is decided from
gathered numbers, the same in every process. Gradients are summed, as the denominator is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from trainer.mining.base import of_examples
from trainer.mixer.base import Drawing
from trainer.training.step import Learned, Step


@dataclass(frozen=True)
class Part:
    """What one process has of a batch."""

    sizes: list[int]  # rows of each process
    fetched: Tensor  # [f] places in the batch: own rows, then others that they are mixed with
    rows: int  # that are its own; where there is none, one is fetched all the same
    drawing: Drawing  # of its own rows, the partners by where they are among the fetched


class ParallelStep(Step):
    """The step of one of the processes of a world."""

    def __init__(self, world: World, image: tuple[int, int], **parts: Any) -> None:
        super().__init__(**parts)
        self.world = world
        self.image = image  # height and width
        self.store: Any = self.meter.store  # a SharedStore
        self.parts: dict[int, Part] = {}  # of the epoch's batches, by their first rows
        modules = self.forward.model.modules()
        norms = [module for module in modules if isinstance(module, _BatchNorm)]
        statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
        self.statistics = [value for value in statistics if value is not None]

    def share(self, plan: Plan, first: StepId) -> Plan:
        """The rows that this process fetches: a step of it for each of the plan's."""
        self.parts = {
            row: self.part_of(end - row, replace(first, step=first.step + i))
            for i, (row, end) in enumerate(pairwise(plan.bounds.tolist()))
        }
        at = torch.cat([row + part.fetched for row, part in self.parts.items()])
        ends = [0, *accumulate(len(part.fetched) for part in self.parts.values())]
        return replace(plan.rows(at, 1), bounds=torch.tensor(ends))

    def part_of(self, size: int, step_id: StepId) -> Part:
        """What the process has of a batch of so many rows."""
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
        """Seed what the model draws: dropout for one is not the same in each process."""
        rank = [self.world.rank] if self.world.rank else []
        seed_torch(self.forward.device, step_id.seed, Purpose.STEP, step_id.step, *rank)

    def prepare(self, batch: Batch, step_id: StepId, first_row: int) -> Batch:
        """Augment, standardise, mix: from the rows that were fetched to the process's own."""
        self.part = self.parts[first_row]
        self.sizes = self.part.sizes
        batch = super().prepare(batch, step_id, first_row)
        self.spare = batch.rows(slice(0, 1))
        self.own = batch.rows(slice(0, self.part.rows))
        return self.own

    def places(self, batch: Batch, first_row: int) -> Tensor:
        """Where the fetched rows stand in the epoch's plan."""
        return first_row + self.part.fetched

    def mix(self, batch: Batch, step_id: StepId) -> Batch:
        """The process's own rows, mixed with those that they would be in the whole batch."""
        drawing = self.part.drawing.to(batch.images.device)
        own = batch.rows(slice(0, max(1, self.part.rows)))
        if not drawing.partners:
            return own
        return self.mixer.mix([own, *map(batch.rows, drawing.partners)], drawing)

    def select(self, batch: Batch, step_id: StepId) -> Batch:
        """The rows that the miner chooses of the whole batch, as far as they are the process's."""
        if type(self.miner).select is Miner.select:
            return batch
        whole, _ = self.whole(batch)

        def rank(_: Batch) -> Tensor:
            return self.world.rows([self.rank(batch)], self.sizes)[0]

        picked = self.miner.select(whole, rank, step_id)
        ends = torch.tensor(self.sizes, device=picked.images.device).cumsum(0)
        owner = torch.bucketize(picked.images, ends, right=True)
        held = picked.rows(owner == self.world.rank)
        at = held.images - sum(self.sizes[: self.world.rank])
        self.sizes = owner.bincount(minlength=self.world.size).tolist()
        self.own = held.with_images(batch.images[at])
        return self.own

    def whole(self, batch: Batch, *further: Tensor) -> tuple[Batch, list[Tensor]]:
        """The rows of all processes, and further values [n, ...] of theirs.

        In place of the images are the rows' places, 0, 1, ...
        """
        fields = [batch.labels, batch.shares, batch.index, batch.weight, batch.count]
        parts = self.world.rows([*fields, *further], self.sizes)
        places = torch.arange(len(parts[0]), device=parts[0].device)
        return Batch(places, *parts[:5]), parts[5:]

    @property
    def rows(self) -> slice:
        """Where the process's own rows are among all."""
        first = sum(self.sizes[: self.world.rank])
        return slice(first, first + self.sizes[self.world.rank])

    @torch.no_grad()
    def weigh(
        self, outputs: Tensor, losses: Tensor, batch: Batch, step_id: StepId, *, mining: bool
    ) -> Batch:
        """Let the loss, then the miner, see the whole effective batch."""
        outputs, losses = outputs.detach(), losses.detach()
        if self.loss.batchwise:
            whole, (every_loss, every_output) = self.whole(batch, losses, outputs)
            self.loss.survey(every_loss, every_output, whole)
        if not (mining and self.miner.pooled):
            return batch
        ranks = self.ranker(outputs, self.loss.reweigh(losses, outputs, batch), batch)
        whole, (ranks,) = self.whole(batch, ranks)
        weighed = self.miner.weigh(ranks, whole, step_id)
        return replace(batch, weight=weighed.weight[self.rows], count=weighed.count[self.rows])

    def count(self, batch: Batch) -> Tensor:
        """Σ count of the whole effective batch."""
        count = super().count(batch)
        self.world.total([count])
        return count

    def learn(self, batch: Batch, step_id: StepId, *, mining: bool) -> Learned:
        """Forward and backward over the process's own rows, if there are some."""
        if len(batch):
            learned = super().learn(batch, step_id, mining=mining)
        else:
            learned = self.learn_nothing(batch, step_id, mining=mining)
        for _ in range(self.passes_left(batch)):
            self.backward_nothing(self.forward_spare())
        return learned

    def learn_nothing(self, batch: Batch, step_id: StepId, *, mining: bool) -> Learned:
        """Take part in what the others do: every process runs backward."""
        pooled = self.loss.batchwise or (mining and self.miner.pooled)
        if pooled and self.accumulate > 1:
            batch = self.weigh(*self.score(batch), batch, step_id, mining=mining)
        outputs = self.forward_spare()
        if pooled and self.accumulate == 1:
            losses = self.contract(outputs, self.spare)
            batch = self.weigh(outputs[:0], losses[:0], batch, step_id, mining=mining)
        denominator = self.count(batch)
        self.backward_nothing(outputs)
        self.spend(0)
        return Learned(torch.zeros((), device=self.forward.device), denominator)

    def forward_spare(self) -> Tensor:
        """The outputs of one row; it leaves no trace in BatchNorm's statistics."""
        with evaluating(self.forward.model):
            return self.forward(self.spare.images)

    def backward_nothing(self, outputs: Tensor) -> None:
        """A backward pass whose gradients are 0."""
        outputs.backward(torch.zeros_like(outputs))

    def score(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs and losses of prepared images by a read-only pass."""
        with torch.no_grad():
            if len(batch):
                outputs, losses = super().score(batch)
            else:
                whole = self.forward_spare()
                outputs, losses = whole[:0], self.contract(whole, self.spare)[:0]
                self.spend(0, backward=False)
            for _ in range(self.passes_left(batch)):
                self.forward_spare()
        return outputs, losses

    def passes_left(self, batch: Batch) -> int:
        """Passes that other processes may make after those of a batch's chunks.

        Sharded weights are gathered by all at once: each makes as many.
        """
        if not self.world.sharded:
            return 0
        chunk = max(1, -(-len(batch) // self.accumulate))
        return self.accumulate - max(1, -(-len(batch) // chunk))

    def learn_nearby(self, learned: Learned, step_id: StepId, radius: float) -> None:
        """Put the gradient at the worst place near the weights in place of theirs."""
        self.reduce([])
        super().learn_nearby(learned, step_id, radius)

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
        self.world.total([*gradients, there, *further])
        if not all(given):
            for p, gradient, number in zip(parameters, gradients, there.tolist(), strict=True):
                p.grad = gradient if number else None

    def spend(self, examples: int, *, backward: bool = True) -> None:
        """Count the examples of all processes."""
        super().spend(sum(self.sizes), backward=backward)

    def observe(self, learned: Learned, step_id: StepId) -> None:
        """Let the meter see the process's own rows, the miner those of all."""
        for plain, outputs, losses in learned.seen:
            self.meter.add(plain, outputs, losses)
            self.store.note(plain, step_id.step)
        if type(self.miner).observe is Miner.observe:
            return
        seen = [of_examples(self.ranker(o, losses, b)) for b, o, losses in learned.seen]
        ranks = torch.cat([torch.zeros(0, device=self.forward.device), *seen])
        labels = self.own.labels if self.own.labels.ndim < 4 else self.own.index
        whole, (ranks,) = self.whole(replace(self.own, labels=labels), ranks)
        self.miner.observe(whole, ranks)

    def not_finite(self, learned: Learned) -> list[int]:
        """Dataset ids of the rows of all processes whose loss is not finite."""
        own = super().not_finite(learned) if learned.seen else []
        return sorted({i for ids in self.world.all(own) for i in ids})


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
