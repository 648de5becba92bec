"""The whole set as uint8 on the device: a batch is one gather."""

from collections.abc import Iterator

import torch

from trainer.batch import Batch
from trainer.dataset import Images, Split
from trainer.loader.base import Feed, Loader, batch_of, interpolate
from trainer.plan import Plan

DECODE_AT_ONCE = 1024


class Memory(Loader):
    """Read once, kept on the device. Splits of one source share one copy."""

    def __init__(self, *, workers: int = 0) -> None:
        self.workers = workers
        self.held: dict[tuple[int, str], tuple[Images, torch.Tensor]] = {}

    def open(self, split: Split, device: torch.device) -> Feed:
        """The feed of a split."""
        key = id(split.images), str(device)
        if key not in self.held:
            self.held[key] = split.images, pixels_of(split.images).to(device)
        return MemoryFeed(self.held[key][1], split.labels.to(device), device)


class MemoryFeed(Feed):
    """Batches by gathering rows of pixels [M, C, H, W] and labels [M, ...]."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, device: torch.device) -> None:
        self.pixels = pixels
        self.labels = labels
        self.device = device

    def batches(self, plan: Plan, start: int = 0) -> Iterator[Batch]:
        """The plan's batches from step `start` on."""
        plan = plan.to(self.device)
        bounds = plan.bounds.tolist()
        for first, last in zip(bounds[start:-1], bounds[start + 1 :], strict=True):
            rows = slice(first, last)
            ids = plan.ids[rows]
            if ids.shape[1] == 1:
                images = self.pixels.index_select(0, ids[:, 0])
            else:
                parts = [self.pixels.index_select(0, part) for part in ids.unbind(1)]
                images = interpolate(parts, plan.shares[rows])
            yield batch_of(images, self.labels[ids], plan, rows)


def pixels_of(images: Images) -> torch.Tensor:
    """All images of a source as uint8 [M, C, H, W]."""
    held = getattr(images, "pixels", None)
    if held is not None:
        return held
    pixels = torch.empty((len(images), *images.shape), dtype=torch.uint8)
    for start in range(0, len(images), DECODE_AT_ONCE):
        ids = range(start, min(start + DECODE_AT_ONCE, len(images)))
        pixels[start : start + len(ids)] = images.read(ids)
    return pixels
