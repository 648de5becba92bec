"""The one train step: an effective batch in, one update out."""

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.augmentation import Augmentation
from trainer.batch import Batch
from trainer.distill import Distiller
from trainer.errors import NonFiniteError
from trainer.forward import Forward
from trainer.guard import Guard
from trainer.loss import Loss, contract
from trainer.meter import Meter
from trainer.mining import Miner
from trainer.mining.rank import Ranker
from trainer.mixer import Mixer
from trainer.seed import Draws, Moment, Purpose, seed_torch

Seen = tuple[Batch, Tensor, Tensor]  # a chunk, its outputs and its losses, detached
TINY = 1e-30  # keeps 0 / 0 away where nothing counts; that step is then not taken


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
        accumulate: int = 1,
        clip: float | None = None,
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
        self.accumulate = accumulate
        self.clip = clip
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
        pooled = self.loss.batchwise or (mining and self.miner.pooled)
        weighed, denominator, seen = batch, None, []
        total = torch.zeros((), device=self.forward.device)
        if pooled and self.accumulate > 1:
            weighed = self.weigh(*self.score(batch), batch, moment, mining=mining)
        pairs = zip(batch.chunks(self.accumulate), weighed.chunks(self.accumulate), strict=True)
        for plain, held in pairs:
            outputs = self.forward(plain.images)
            losses = self.contract(outputs, plain)
            seen.append((plain, outputs.detach(), losses.detach()))
            if pooled and self.accumulate == 1:
                weighed = self.weigh(outputs, losses, plain, moment, mining=mining)
            chunk = weighed if self.accumulate == 1 else held
            if denominator is None:
                denominator = (weighed.count * contract(self.loss.count, weighed)).sum()
            losses = self.loss.reweigh(losses, outputs, chunk)
            losses = self.distiller(plain.images, outputs, losses)
            part = (chunk.weight * losses).sum() / denominator.clamp(min=TINY)
            self.guard.scaler.scale(part).backward()
            total = total + part.detach()
        self.cost.forward += len(batch)
        self.cost.backward += len(batch)
        if denominator is not None and self.update(total, denominator, moment, seen):
            for plain, outputs, losses in seen:
                self.meter.add(plain, outputs, losses)
                self.miner.observe(plain, self.ranker(outputs, losses, plain))

    def prepare(self, batch: Batch, moment: Moment, first_row: int) -> Batch:
        """Augment, standardise, mix."""
        images = self.forward.unit(batch.images)
        if self.augmentation:
            rows = torch.arange(first_row, first_row + len(batch), device=images.device)
            draws = Draws(moment.seed, moment.epoch, rows)
            for augmentation in self.augmentation:
                images = augmentation(images, draws)
        return self.mixer(batch.with_images(self.forward.standardise(images)), moment)

    def contract(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The share-weighted loss of each image, [B] or [B, H, W]."""
        return contract(lambda labels: self.loss.score(outputs, labels), batch)

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

    def update(self, total: Tensor, denominator: Tensor, moment: Moment, seen: list[Seen]) -> bool:
        """Clip, check, update; whether the step was taken."""
        self.norm, gradients = self.guard.gradients()
        if self.clip is not None:
            torch._foreach_mul_(gradients, (self.clip / (self.norm + 1e-6)).clamp(max=1.0))
        try:
            return self.guard.update(total, self.norm, denominator, moment.step)
        except NonFiniteError as error:
            bad = [
                b.index[~torch.isfinite(losses.reshape(len(b), -1).sum(1))] for b, _, losses in seen
            ]
            ids = torch.cat(bad).unique().tolist() or "all of the batch"
            raise NonFiniteError(f"{error}, epoch {moment.epoch}, examples {ids}") from None
