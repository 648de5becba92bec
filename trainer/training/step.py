"""The train step: one optimizer update from one effective batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.augmentation import Augmentation
from trainer.augmentation.shared.taken import cut_of
from trainer.core.batch import Batch, Elements, only
from trainer.core.errors import NonFiniteError
from trainer.core.forward import Forward
from trainer.core.plan import Plan
from trainer.core.seed import ExampleRandom, Purpose, StepId, seed_torch
from trainer.dataset.shared.windows import EpochCut
from trainer.distill import Distiller
from trainer.loss import Loss, spread
from trainer.mining import Miner
from trainer.mining.balanced import Balanced
from trainer.mining.shared.ranker import Ranker
from trainer.mixer import Mixer
from trainer.training.meter import Meter
from trainer.training.nonfinite import NonFiniteGuard
from trainer.training.part import Part
from trainer.training.progress import Cost
from trainer.training.sam import ascended
from trainer.training.single_row import explained, reason_for
from trainer.training.weight_average import Average

NOTHING = torch.zeros(())


@dataclass
class Learned:
    """Results of a step's passes, apart from the gradient."""

    total: Tensor = NOTHING  # the loss
    denominator: Tensor = NOTHING  # Σ count
    chunks: list[tuple[Batch, Batch]] = field(default_factory=list)  # before and after weighing
    seen: list[tuple[Batch, Tensor, Tensor]] = field(default_factory=list)  # outputs and losses


class Step:
    """One optimizer step. The reduction is Σ weight·ℓ / Σ count over the effective batch.

    With `accumulate` above 1 the batch is processed in chunks, after a scoring pass without
    gradient if the miner or the loss needs the whole batch.
    """

    def __init__(
        self,
        *,
        forward: Forward,
        augmentation: list[Augmentation],
        mixer: Mixer,
        loss: Loss,
        miner: Miner,
        ranker: Ranker,
        distiller: Distiller,
        guard: NonFiniteGuard,
        meter: Meter,
        average: Average,
        cost: Cost,
        accumulate: int = 1,
        clip: float | None = None,
        sam: float | None = None,
    ) -> None:
        self.forward = forward
        self.augmentation = augmentation
        self.mixer = mixer
        self.loss = loss
        self.miner = miner
        self.ranker = ranker
        self.task = ranker.task
        self.distiller = distiller
        self.guard = guard
        self.meter = meter
        self.average = average
        self.accumulate = accumulate
        self.clip = clip
        self.sam = sam
        self.cost = cost
        self.norm = torch.zeros(())  # of the last gradient, before clipping

    def __call__(
        self, batch: Batch, step_id: StepId, first_row: int, part: Part | None = None
    ) -> None:
        """Train on one batch: the rows of the epoch's plan from `first_row` on.

        `part` is this process's share of them, None for a single process. Raises NonFiniteError.
        """
        self.guard.start()
        self.seed(step_id)
        batch = self.prepare(batch, step_id, first_row, part)
        batch, part = self.own(batch, part)
        rows = len(batch)
        mining = step_id.epoch >= self.miner.warmup_epochs
        if mining and not self.task.elementwise:
            batch, part = self.select(batch, step_id, part)
            if self.miner.delays and not len(batch):
                return  # rows wait until they fill a batch
        try:
            learned = self.learn(batch, step_id, part, mining=mining)
        except ValueError as error:
            reason = reason_for(rows, len(batch), self.accumulate, step_id.step)
            raise explained(error, reason) from error
        if self.sam is not None:
            self.learn_nearby(learned, step_id, part, self.sam)
        if self.update(learned, step_id):
            self.average.after_step()
            self.observe(learned, step_id, batch, part)

    def divide(self, plan: Plan, first: StepId) -> tuple[Plan, Sequence[Part | None]]:
        """Return the rows of a plan that this process fetches, and its part of each batch.

        `first` identifies the epoch's first step.
        """
        return plan, [None] * plan.steps

    def own(self, batch: Batch, part: Part | None) -> tuple[Batch, Part | None]:
        """Return this process's own rows of a prepared batch, and its part."""
        return batch, part

    def seed(self, step_id: StepId) -> None:
        """Seed the random numbers that the model draws in a step, such as dropout."""
        seed_torch(self.forward.device, step_id.seed, Purpose.STEP, step_id.step)

    def select(self, batch: Batch, step_id: StepId, part: Part | None) -> tuple[Batch, Part | None]:
        """Return the rows that the miner selects, and this process's part of them."""
        return self.miner.select(batch, self.rank, step_id), part

    def observe(self, learned: Learned, step_id: StepId, batch: Batch, part: Part | None) -> None:
        """Pass the results of an applied update to the meter and the miner."""
        for plain, outputs, losses in learned.seen:
            self.meter.add(plain, outputs, losses, step_id.step)
            if self.miner.observes:
                self.miner.observe(plain, self.ranker(outputs, losses, plain))

    def learn(
        self, batch: Batch, step_id: StepId, part: Part | None = None, *, mining: bool
    ) -> Learned:
        """Accumulate the gradient of Σ weight·ℓ / Σ count, chunk by chunk."""
        pooled, whole = self.pools(mining=mining), self.accumulate == 1
        weighed, denominator = batch, None
        learned, totals = Learned(), []
        if pooled and not whole:
            outputs, losses = self.score(batch, part)
            weighed = self.elements(outputs, batch, step_id, part, mining=mining)
            weighed = self.weigh(outputs, losses, weighed, step_id, part, mining=mining)
        pairs = zip(batch.chunks(self.accumulate), weighed.chunks(self.accumulate), strict=True)
        for plain, scored in pairs:
            outputs = self.forward(plain.images)
            elements = self.elements(outputs, plain, step_id, part, mining=mining and whole)
            losses = self.contract(outputs, elements)
            learned.seen.append(self.task.observed(outputs, losses, elements))
            if whole:
                weighed = elements
                if pooled:
                    weighed = self.weigh(outputs, losses, elements, step_id, part, mining=mining)
            chunk = weighed if whole else scored
            if denominator is None:
                denominator = learned.denominator = self.count(weighed)
            learned.chunks.append((plain, chunk))
            totals.append(self.backward(outputs, losses, plain, chunk, denominator))
        learned.total = sum(totals[1:], totals[0])
        self.spend(len(batch), part)
        return learned

    def pools(self, *, mining: bool) -> bool:
        """Return whether the weights depend on the whole batch, so that chunks are scored first."""
        in_chunks = self.task.elementwise and self.accumulate > 1
        return self.loss.batchwise or (mining and self.miner.pooled) or in_chunks

    def elements(
        self, outputs: Tensor, batch: Batch, step_id: StepId, part: Part | None, *, mining: bool
    ) -> Batch:
        """Return what the loss is computed of, without the elements that the miner drops."""
        elements = self.task.elements(outputs, batch)
        if not isinstance(elements, Elements):
            return elements
        return self.chosen(outputs, elements, step_id, part, mining=mining)

    def chosen(
        self,
        outputs: Tensor,
        elements: Elements,
        step_id: StepId,
        part: Part | None,
        *,
        mining: bool,
    ) -> Elements:
        """Return the elements with weights and counts of 0 where they are not drawn or selected."""
        if len(elements.sizes) > 1:
            number, positive = self.task.first_stage
            miner = Balanced(number=number, positive_fraction=positive)
            first = self.choose(miner, elements.first(), lambda _: NOTHING, step_id, part)
            elements = elements.with_stage(0, first)
        if not (mining and self.miner.selects):
            return elements

        def rank(own: Batch) -> Tensor:
            if not len(elements):
                return own.weight
            with torch.no_grad():
                losses = self.contract(outputs, elements)
            return self.ranker(outputs, losses, elements)[:, -elements.sizes[-1] :]

        chosen = self.choose(self.miner, elements.last(), rank, step_id, part)
        return elements.with_stage(-1, chosen)

    def choose(
        self,
        miner: Miner,
        elements: Elements,
        rank: Callable[[Batch], Tensor],
        step_id: StepId,
        part: Part | None,
    ) -> Batch:
        """Return the elements [B, E] with weight and count 0 where a miner drops them."""
        return miner.select(elements, rank, step_id)

    def count(self, batch: Batch) -> Tensor:
        """Return Σ count of an effective batch, the reduction's denominator, a scalar.

        A detector has one for each stage, [G].
        """
        if isinstance(batch, Elements):
            return batch.totals()
        if self.loss.uniform and batch.labels.ndim < 4:  # no masks
            return batch.count.sum()
        counts = self.loss.batch_counts(batch)
        return (spread(batch.count, counts) * counts).sum()

    def learn_nearby(
        self, learned: Learned, step_id: StepId, part: Part | None, radius: float
    ) -> None:
        """Replace the gradient by that at the highest loss within `radius` of the weights (SAM).

        Rows, row weights and dropout masks stay the same; meter and miner observe nothing.
        """
        norm, _ = self.guard.gradients()
        parameters = self.guard.trained()
        self.seed(step_id)
        with ascended(self.forward.model, parameters, norm, radius):
            for plain, chunk in learned.chunks:
                outputs = self.forward(plain.images)
                losses = self.contract(outputs, plain)
                self.backward(outputs, losses, plain, chunk, learned.denominator)
        self.spend(sum(len(plain) for plain, _ in learned.chunks), part)

    def backward(
        self, outputs: Tensor, losses: Tensor, plain: Batch, weighed: Batch, denominator: Tensor
    ) -> Tensor:
        """Add the gradient of a chunk's term of the loss; return that term, detached.

        The sum is linear in the losses, so it need not be part of the graph.
        """
        losses = self.loss.reweigh(losses, outputs, weighed)
        losses = self.distiller(plain.images, outputs, losses)
        share = spread(weighed.weight, losses) / weighed.each(denominator)
        share = share.expand_as(losses)
        losses.backward(self.guard.scaled(share))
        return torch.dot(share.flatten(), losses.detach().flatten())

    def spend(self, examples: int, part: Part | None, *, backward: bool = True) -> None:
        """Count the examples of a pass by all processes towards the run's cost."""
        self.cost.add(examples, backward=backward)

    def prepare(
        self, batch: Batch, step_id: StepId, first_row: int, part: Part | None = None
    ) -> Batch:
        """Augment, standardise and mix a batch; ignored pixels get weight and count 0."""
        if self.augmentation:
            images = self.forward.unit(batch.images)
            draws = ExampleRandom(
                step_id.seed, step_id.epoch, self.places(len(batch), first_row, part), images.device
            )
            labels, fill = batch.labels, float(self.loss.ignore_index or 0)
            for augmentation in self.augmentation:
                images, labels = augmentation.with_labels(
                    images, labels, draws, fill=fill, min_visible=self.task.min_visible
                )
            images = self.forward.standardise(images)
            if labels is not batch.labels:  # they have places in the image
                batch = replace(batch, labels=labels)
        else:
            images = self.forward.inputs(batch.images)
        batch = self.mix(batch.with_images(images), step_id, part)
        if self.loss.ignores and not self.task.elementwise:
            return only(batch, batch.labels[:, 0] != self.loss.ignore_index)
        return batch

    def cut(self, plan: Plan, first: StepId, parts: Sequence[Part | None] = ()) -> EpochCut | None:
        """Return what the loader cuts out of images stored uncut, in the epoch of a plan.

        `first` identifies the epoch's first step; `parts` are this process's.
        """
        bounds = plan.bounds

        def places(step: int) -> Tensor:
            first_row, end = bounds[step : step + 2].tolist()
            return self.places(end - first_row, first_row, parts[step] if parts else None)

        return cut_of(self.augmentation, first.seed, first.epoch, places)

    def places(self, rows: int, first_row: int, part: Part | None) -> Tensor:
        """Return the positions [B] in the epoch's plan of a batch's rows."""
        return torch.arange(first_row, first_row + rows)

    def mix(self, batch: Batch, step_id: StepId, part: Part | None) -> Batch:
        """Mix the rows of a batch with one another."""
        return self.mixer(batch, step_id)

    def contract(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the share-weighted losses [B], [B, H, W] or [B, E] of outputs [B, ...]."""
        return self.task.losses(self.loss.forward, outputs, batch)

    def score(self, batch: Batch, part: Part | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs and losses of prepared images, from a read-only pass in chunks."""
        with self.forward.read_only():
            parts = [self.forward(chunk.images) for chunk in batch.chunks(self.accumulate)]
            self.spend(len(batch), part, backward=False)
            outputs = torch.cat(parts)
            return outputs, self.contract(outputs, self.task.elements(outputs, batch))

    def rank(self, batch: Batch) -> Tensor:
        """Return the ranks [B] of prepared images, from a read-only pass."""
        return self.ranker(*self.score(batch), batch)

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
        """Pass the effective batch to the loss's survey, then let the miner weigh its rows."""
        outputs, losses = outputs.detach(), losses.detach()
        self.survey(outputs, losses, batch, part)
        if not (mining and self.miner.pooled):
            return batch
        losses = self.loss.reweigh(losses, outputs, batch)
        ranks = self.ranker(outputs, losses, batch)
        if not isinstance(batch, Elements):
            return self.weigh_rows(ranks, batch, step_id, part)
        last = batch.last()
        ranks = ranks[:, -last.sizes[0] :]
        return batch.with_stage(-1, self.weigh_rows(ranks, last, step_id, part))

    def survey(self, outputs: Tensor, losses: Tensor, batch: Batch, part: Part | None) -> None:
        """Pass outputs [B, ...] and losses [B] or [B, H, W] to the loss's survey."""
        self.loss.survey(losses, outputs, batch)

    def weigh_rows(self, ranks: Tensor, batch: Batch, step_id: StepId, part: Part | None) -> Batch:
        """Return the batch as the miner weighs it by ranks [B] or [B, H, W]."""
        return self.miner.weigh(ranks, batch, step_id)

    def update(self, learned: Learned, step_id: StepId) -> bool:
        """Clip the gradient and update if all is finite; return whether the step was taken."""
        self.norm, gradients = self.guard.gradients()
        if self.clip is not None:
            torch._foreach_mul_(gradients, (self.clip / (self.norm + 1e-6)).clamp(max=1.0))
        try:
            counted = learned.denominator
            counted = counted.sum() if counted.ndim else counted  # of a detector's stages
            return self.guard.update(learned.total, self.norm, counted, step_id.step)
        except NonFiniteError as error:
            ids = self.not_finite(learned) or "all of the batch"
            raise NonFiniteError(f"{error}, epoch {step_id.epoch}, examples {ids}") from None

    def not_finite(self, learned: Learned) -> list[int]:
        """Return the dataset ids of rows with a non-finite image, or if none, a non-finite loss.

        Images come first: with BatchNorm, one bad image spoils the losses of its whole batch.
        """
        images = [(batch, batch.images) for batch, _, _ in learned.seen]
        losses = [(batch, values) for batch, _, values in learned.seen]
        return not_finite(images) or not_finite(losses)


def not_finite(pairs: list[tuple[Batch, Tensor]]) -> list[int]:
    """Return the dataset ids of the rows whose values [B, ...] are not all finite."""
    bad = [b.index[~torch.isfinite(values.reshape(len(b), -1)).all(1)] for b, values in pairs]
    return torch.cat(bad).unique().tolist()
