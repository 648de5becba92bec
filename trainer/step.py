"""The one train step: an effective batch in, one update out."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainer.augmentation import Augmentation
from trainer.average import Average
from trainer.batch import Batch
from trainer.distill import Distiller
from trainer.errors import NonFiniteError
from trainer.forward import Forward
from trainer.guard import Guard
from trainer.loss import Loss, contract, spread
from trainer.meter import Meter
from trainer.mining import Miner
from trainer.mining.base import only
from trainer.mining.rank import Ranker
from trainer.mixer import Mixer
from trainer.sam import ascended
from trainer.seed import Draws, Moment, Purpose, seed_torch

TINY = 1e-30  # keeps 0 / 0 away where nothing counts; that step is then not taken


@dataclass
class Learned:
    """What the passes of a step leave behind, beside the gradient."""

    total: Tensor  # the loss
    denominator: Tensor = field(default_factory=lambda: torch.zeros(()))  # Σ count
    chunks: list[tuple[Batch, Batch]] = field(default_factory=list)  # plain, and weighed
    seen: list[tuple[Batch, Tensor, Tensor]] = field(default_factory=list)  # outputs and losses


@dataclass
class Cost:
    """What a run has spent, in examples."""

    forward: int = 0  # through a forward pass, scoring passes included
    backward: int = 0  # through a backward pass, masked ones included


class Step:
    """One optimizer step. The reduction is Σ weight·ℓ / Σ count over the effective batch.

    With `accumulate` above 1 the batch goes through in chunks. Where the miner or the loss depends
    on all of it, a scoring pass without gradient comes first.
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
        guard: Guard,
        meter: Meter,
        average: Average,
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
        self.distiller = distiller
        self.guard = guard
        self.meter = meter
        self.average = average
        self.accumulate = accumulate
        self.clip = clip
        self.sam = sam
        self.cost = Cost()
        self.norm = torch.zeros(())  # of the last step's gradient, before clipping

    def __call__(self, batch: Batch, moment: Moment, first_row: int) -> None:
        """Train on a batch whose rows stand at `first_row` and after in the epoch's plan."""
        self.guard.start()
        seed_torch(self.forward.device, moment.seed, Purpose.STEP, moment.step)
        batch = self.prepare(batch, moment, first_row)
        mining = moment.epoch >= self.miner.warmup_epochs
        if mining:
            batch = self.miner.select(batch, self.rank, moment)
        learned = self.learn(batch, moment, mining=mining)
        if self.sam is not None:
            self.learn_nearby(learned, moment, self.sam)
        if self.update(learned, moment):
            self.average.after_step()
            for plain, outputs, losses in learned.seen:
                self.meter.add(plain, outputs, losses)
                self.miner.observe(plain, self.ranker(outputs, losses, plain))

    def learn(self, batch: Batch, moment: Moment, *, mining: bool) -> Learned:
        """Forward and backward, chunk by chunk: the gradient of Σ weight·ℓ / Σ count."""
        pooled = self.loss.batchwise or (mining and self.miner.pooled)
        weighed, denominator = batch, None
        learned = Learned(torch.zeros((), device=self.forward.device))
        if pooled and self.accumulate > 1:
            weighed = self.weigh(*self.score(batch), batch, moment, mining=mining)
        pairs = zip(batch.chunks(self.accumulate), weighed.chunks(self.accumulate), strict=True)
        for plain, chunk in pairs:
            outputs = self.forward(plain.images)
            losses = self.contract(outputs, plain)
            learned.seen.append((plain, outputs.detach(), losses.detach()))
            if pooled and self.accumulate == 1:
                weighed = self.weigh(outputs, losses, plain, moment, mining=mining)
            held = weighed if self.accumulate == 1 else chunk
            if denominator is None:
                counts = contract(self.loss.denominator, weighed)
                denominator = learned.denominator = (spread(weighed.count, counts) * counts).sum()
            learned.chunks.append((plain, held))
            learned.total += self.backward(outputs, losses, plain, held, denominator)
        self.spend(len(batch))
        return learned

    def learn_nearby(self, learned: Learned, moment: Moment, radius: float) -> None:
        """Put the gradient at the worst place near the weights in place of theirs.

        The same rows with the same weights and dropout, and nothing is observed.
        """
        norm, _ = self.guard.gradients()
        parameters = self.guard.trained()
        seed_torch(self.forward.device, moment.seed, Purpose.STEP, moment.step)
        with ascended(self.forward.model, parameters, norm, radius):
            for plain, held in learned.chunks:
                outputs = self.forward(plain.images)
                losses = self.contract(outputs, plain)
                self.backward(outputs, losses, plain, held, learned.denominator)
                self.spend(len(plain))

    def backward(
        self, outputs: Tensor, losses: Tensor, plain: Batch, held: Batch, denominator: Tensor
    ) -> Tensor:
        """Add the gradient of a chunk's part of the loss; the part, detached."""
        losses = self.loss.reweigh(losses, outputs, held)
        losses = self.distiller(plain.images, outputs, losses)
        part = (spread(held.weight, losses) * losses).sum() / denominator.clamp(min=TINY)
        self.guard.scaler.scale(part).backward()
        return part.detach()

    def spend(self, examples: int) -> None:
        """Count examples that went forward and backward."""
        self.cost.forward += examples
        self.cost.backward += examples

    def prepare(self, batch: Batch, moment: Moment, first_row: int) -> Batch:
        """Augment, standardise, mix; pixels to be ignored have weight and count 0."""
        images = self.forward.unit(batch.images)
        if self.augmentation:
            rows = torch.arange(first_row, first_row + len(batch))
            draws = Draws(moment.seed, moment.epoch, rows, images.device)
            for augmentation in self.augmentation:
                if batch.labels.ndim < 4:  # no mask or image
                    images = augmentation(images, draws)
                else:
                    images, batch = self.move(augmentation, images, batch, draws)
        batch = self.mixer(batch.with_images(self.forward.standardise(images)), moment)
        if self.loss.ignores:
            return only(batch, batch.labels[:, 0] != self.loss.ignore_index)
        return batch

    def move(
        self, augmentation: Augmentation, images: Tensor, batch: Batch, draws: Draws
    ) -> tuple[Tensor, Batch]:
        """Augment images and the masks [B, 1, H, W] or images [B, 1, C, H, W] that they go with."""
        target = batch.labels.flatten(1, -3)  # [B, 1 or C, H, W]
        fill = float(self.loss.ignore_index or 0)
        images, target = augmentation.with_target(images, target, draws, fill=fill)
        return images, replace(batch, labels=target.view_as(batch.labels))

    def contract(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The share-weighted loss of each image, [B] or [B, H, W]."""
        return contract(lambda labels: self.loss(outputs, labels), batch)

    def score(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs and losses of prepared images by a read-only pass, chunk by chunk."""
        with self.forward.read_only():
            parts = [self.forward(chunk.images) for chunk in batch.chunks(self.accumulate)]
            self.cost.forward += len(batch)
            outputs = torch.cat(parts)
            return outputs, self.contract(outputs, batch)

    def rank(self, batch: Batch) -> Tensor:
        """Ranks of prepared images by a read-only pass."""
        return self.ranker(*self.score(batch), batch)

    @torch.no_grad()
    def weigh(
        self, outputs: Tensor, losses: Tensor, batch: Batch, moment: Moment, *, mining: bool
    ) -> Batch:
        """Let the loss, then the miner, see the whole effective batch."""
        outputs, losses = outputs.detach(), losses.detach()
        self.loss.survey(losses, outputs, batch)
        if not (mining and self.miner.pooled):
            return batch
        losses = self.loss.reweigh(losses, outputs, batch)
        return self.miner.weigh(self.ranker(outputs, losses, batch), batch, moment)

    def update(self, learned: Learned, moment: Moment) -> bool:
        """Clip, check, update; whether the step was taken."""
        self.norm, gradients = self.guard.gradients()
        if self.clip is not None:
            torch._foreach_mul_(gradients, (self.clip / (self.norm + 1e-6)).clamp(max=1.0))
        try:
            return self.guard.update(learned.total, self.norm, learned.denominator, moment.step)
        except NonFiniteError as error:
            bad = [
                b.index[~torch.isfinite(losses.reshape(len(b), -1).sum(1))]
                for b, _, losses in learned.seen
            ]
            ids = torch.cat(bad).unique().tolist() or "all of the batch"
            raise NonFiniteError(f"{error}, epoch {moment.epoch}, examples {ids}") from None
