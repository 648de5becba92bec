"""Splits as the model of a finished run sees them: outputs, features, and what compares pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.dataset.shared.texts import Texts
from trainer.storage.saved_run import SavedRun
from trainer.trained.trained_run import TrainedRun

if TYPE_CHECKING:
    from trainer.run.components import Components

SIDE = 16  # of a thumbnail, at most


@dataclass(frozen=True)
class Examined:
    """The n examples of a split, unaugmented, without postprocessing."""

    ids: np.ndarray  # [n]
    outputs: np.ndarray  # [n, C]; [n, 0] for dense outputs
    features: np.ndarray  # [n, d] inputs of the last linear layer; [n, 0] without such a layer
    thumbnails: np.ndarray  # [n, t] uint8
    digests: list[bytes]  # of the pixels
    records: dict[str, Tensor] = field(default_factory=dict)  # [n, ...], where labels are boxes


def examine(
    outer: Components, reference: str | None, setting: str, names: Sequence[str]
) -> dict[str, Examined]:
    """Examine the splits `names` that have examples, with the run that a setting names.

    Dataset settings on the command line override the run's. Raises CheckpointError where it has no
    checkpoint.
    """
    run = TrainedRun(outer, Path(), SavedRun.at(reference, setting), [])
    return {name: examine_split(run, name) for name in names if len(getattr(run.data, name))}


def examine_split(run: TrainedRun, name: str) -> Examined:
    """Examine a split in one pass."""
    split, inputs, parts, records = run.split(name), [], [], []
    texts = split.images if isinstance(split.images, Texts) else None
    feed = run.components.open_feed(split)
    with inputs_of_last_layer(run.components.model, inputs):
        for batch, outputs in run.evaluator.passes(feed, split.ids, run.outer.poll):
            kept = outputs if outputs.ndim == 2 else outputs.new_empty(len(outputs), 0)
            looks = compared(batch.images) if texts is None else compared_texts(texts, batch.index)
            parts.append((kept.cpu(), *looks))
            if run.data.target == "boxes":
                records.append(run.evaluator.task.records(outputs, batch.labels[:, 0]))
    outputs, thumbnails, digests = zip(*parts, strict=True)
    features = torch.cat(inputs) if inputs else torch.empty(len(split), 0)
    return Examined(
        split.ids.numpy(),
        torch.cat(outputs).numpy(),
        features.numpy(),
        torch.cat(thumbnails).numpy(),
        [digest for part in digests for digest in part],
        {name: torch.cat([part[name] for part in records]).cpu() for name in records[0]}
        if records
        else {},
    )


@contextmanager
def inputs_of_last_layer(model: nn.Module, inputs: list[Tensor]) -> Iterator[None]:
    """Append the inputs [B, d] of the last linear layer, if there is one, to a list."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]

    def keep(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        inputs.append(arguments[0].flatten(1).float().cpu())

    handles = [layer.register_forward_pre_hook(keep) for layer in layers[-1:]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def compared(images: Tensor) -> tuple[Tensor, list[bytes]]:
    """Thumbnails uint8 [B, t] and digests of the pixels of stored images uint8 [B, C, H, W]."""
    size = min(images.shape[2], SIDE), min(images.shape[3], SIDE)
    small = F.adaptive_avg_pool2d(images.float(), size).round().byte().flatten(1).cpu()
    pixels = images.contiguous().cpu().numpy()
    return small, [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in pixels]


def compared_texts(source: Texts, ids: Tensor) -> tuple[Tensor, list[bytes]]:
    """What stands for thumbnails of the texts `ids` [B, 1], and digests of their words."""
    texts = [source.words[i] for i in ids.flatten().tolist()]
    return torch.stack(list(map(word_counts, texts))), [digest(" ".join(t)) for t in texts]


def word_counts(words: Sequence[str]) -> Tensor:
    """How often each word stands in a text, uint8 [t], in the place that its hash gives it."""
    places = torch.tensor([digest(word)[0] for word in words], dtype=torch.int64)
    return places.bincount(minlength=SIDE * SIDE).clamp(max=255).byte()


def digest(text: str) -> bytes:
    """A hash of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
