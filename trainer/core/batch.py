"""Batches of images, each a blend of K labelled examples, and the mean of their losses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

TINY = 1e-30  # least denominator of a mean: avoids 0 / 0 where nothing counts


@dataclass(frozen=True)
class Batch:
    """B images with K labels each, or a chunk of such a batch. `Batch.of` makes a plain one.

    Where a mixer has blended the targets themselves (masks, regression), K is 1 and `shares` is
    the part of each row that its own example makes up.
    """

    images: Tensor  # [B, C, H, W]; of texts the word ids int32 [B, L]
    labels: Tensor  # [B, K, ...]; K is 1 before mixing; multi-hot labels are bool [B, K, C]
    shares: Tensor  # [B, K] part of image b that is label k; rows sum to 1 except as above
    index: Tensor  # [B, K] dataset id of the example behind each label
    weight: Tensor  # [B] or [B, H, W] factor on the loss
    count: Tensor  # [B] or [B, H, W] term in the denominator of the mean

    @classmethod
    def of(cls, images: Tensor, labels: Tensor, ids: Tensor | None = None) -> "Batch":
        """A batch of unmixed images [B, C, H, W] with labels [B, ...], each counting 1.

        `ids` [B] are their dataset ids, by default 0, 1, ...
        """
        ones = torch.ones(len(images), device=images.device)
        index = torch.arange(len(images), device=images.device) if ids is None else ids
        return cls(images, labels[:, None], ones[:, None], index[:, None], ones, ones)

    def __len__(self) -> int:
        return len(self.images)

    def with_images(self, images: Tensor) -> "Batch":
        """Return the batch with its images replaced by others [B, C, H, W]."""
        return Batch(images, self.labels, self.shares, self.index, self.weight, self.count)

    def map(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Return the batch with each of its tensors changed."""
        names = ("images", "labels", "shares", "index", "weight", "count")
        return Batch(*(change(getattr(self, name)) for name in names))

    def select(self, at: Tensor | slice) -> "Batch":
        """Return the rows `at`, positions [b] or a slice, as a batch."""
        return Batch(
            self.images[at],
            self.labels[at],
            self.shares[at],
            self.index[at],
            self.weight[at],
            self.count[at],
        )

    def chunks(self, number: int) -> Iterator["Batch"]:
        """Yield the batch in order, in at most `number` chunks of equal size but for the last."""
        if number == 1:
            yield self
            return
        size = -(-len(self) // number)
        for start in range(0, len(self), size):
            yield self.select(slice(start, start + size))

    @property
    def eligible(self) -> Tensor:
        """Mask [B] or [B, H, W] of what a miner may choose: no added rows, no ignored pixels."""
        return self.count > 0

    def each(self, totals: Tensor) -> Tensor:
        """The denominator of each loss, from Σ count; TINY where that is 0, as all weights are."""
        return totals.clamp(min=TINY)

    def dominant(self) -> tuple[Tensor, Tensor]:
        """Return the label [B, ...] and dataset id [B] with the largest share in each image."""
        if self.shares.shape[1] == 1:
            return self.labels[:, 0], self.index[:, 0]
        row = torch.arange(len(self.shares), device=self.shares.device)
        largest = self.shares.argmax(1)
        return self.labels[row, largest], self.index[row, largest]


@dataclass(frozen=True)
class Elements(Batch):
    """The parts of B images that a detector is trained on, such as anchors: E of each image.

    To a miner they are what the pixels of masks are. Here `labels` are [B, 1, E]: a class, 0 for
    the background, −1 for what counts nothing; `weight` and `count` are [B, E]. A miner may choose
    what has a weight: SSD's negatives have a loss, but its mean is over the positives alone.

    A detector of several stages has a denominator for each, and `sizes` elements in each.
    """

    boxes: Tensor  # [B, N, 5] the images' labels
    matched: Tensor  # [B, E] which of the N boxes an element is matched with, or −1
    wanted: Tensor  # [B, E, 4] what its box is to be regressed to; 0 without one
    regions: Tensor  # [B, E, 4] the box that it starts from
    sizes: tuple[int, ...]  # E of each stage

    @property
    def eligible(self) -> Tensor:
        """Mask [B, E] of the elements with a weight."""
        return self.weight > 0

    def select(self, at: Tensor | slice) -> "Elements":
        """Return the images `at`, positions [b] or a slice, with their elements."""
        tensors = {k: v[at] for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)

    def narrowed(self, own: slice, sizes: tuple[int, ...]) -> "Elements":
        """Return the elements in a slice of the E of each image, those of whole stages."""
        return replace(
            self,
            labels=self.labels[:, :, own],
            weight=self.weight[:, own],
            count=self.count[:, own],
            matched=self.matched[:, own],
            wanted=self.wanted[:, own],
            regions=self.regions[:, own],
            sizes=sizes,
        )

    def first(self) -> "Elements":
        """Return the elements of the first stage."""
        return self.narrowed(slice(0, self.sizes[0]), self.sizes[:1])

    def last(self) -> "Elements":
        """Return the elements of the last stage, among which a run's miner chooses."""
        if len(self.sizes) == 1:
            return self
        return self.narrowed(slice(sum(self.sizes[:-1]), None), self.sizes[-1:])

    def then(self, further: "Elements") -> "Elements":
        """Return these elements and those of a further stage, of the same images."""
        return replace(
            self,
            labels=torch.cat([self.labels, further.labels], 2),
            weight=torch.cat([self.weight, further.weight], 1),
            count=torch.cat([self.count, further.count], 1),
            matched=torch.cat([self.matched, further.matched], 1),
            wanted=torch.cat([self.wanted, further.wanted], 1),
            regions=torch.cat([self.regions, further.regions], 1),
            sizes=(*self.sizes, *further.sizes),
        )

    def with_stage(self, stage: int, chosen: Batch) -> "Elements":
        """Return the elements with the weights and counts [B, E] of one stage replaced."""
        weights, counts = (list(v.split(self.sizes, 1)) for v in (self.weight, self.count))
        weights[stage], counts[stage] = chosen.weight, chosen.count
        return replace(self, weight=torch.cat(weights, 1), count=torch.cat(counts, 1))

    def totals(self) -> Tensor:
        """Σ count of each stage, [G]."""
        return torch.stack([part.sum() for part in self.count.split(self.sizes, 1)])

    def each(self, totals: Tensor) -> Tensor:
        """The denominator of each element, [E], from those of the stages, [G].

        Infinite where nothing counts, so that the loss is 0: negatives have a weight without it.
        """
        totals = totals.masked_fill(totals == 0, torch.inf)
        pairs = zip(totals, self.sizes, strict=True)
        return torch.cat([total.expand(size) for total, size in pairs])


def blend(images: Tensor, parts: list[Batch], shares: list[Tensor]) -> Batch:
    """Make a batch of mixed images [B, C, H, W] that consist of `shares[i]` [B] of `parts[i]`.

    Labels, shares and ids are concatenated along K, so mixing mixed images multiplies K. The
    weight of a mixed image is the product of its parts' weights (an importance weight 1/(N p) of
    each draw); its count is that of the first part.
    """
    weight = parts[0].weight
    for part in parts[1:]:
        weight = weight * part.weight
    return replace(
        parts[0],
        images=images,
        labels=torch.cat([part.labels for part in parts], 1),
        shares=torch.cat([p.shares * s[:, None] for p, s in zip(parts, shares, strict=True)], 1),
        index=torch.cat([part.index for part in parts], 1),
        weight=weight,
    )


def contract(value: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Return Σ_k share_k · value(label_k) over the K labels, [B] or [B, H, W]."""
    if batch.labels.shape[1] == 1:
        return value(batch.labels[:, 0])
    values = [value(labels) for labels in batch.labels.unbind(1)]
    return torch.stack(
        [spread(share, v) * v for share, v in zip(batch.shares.unbind(1), values, strict=True)]
    ).sum(0)


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Reshape values [B] or [B, H, W] so that they broadcast against a tensor [B, ...]."""
    if values.ndim == like.ndim:
        return values
    return values.reshape(*values.shape, *[1] * (like.ndim - values.ndim))


def only(batch: Batch, mask: Tensor) -> Batch:
    """Return the batch with weight and count 0 where a mask [B] or [B, H, W] is false."""
    weight, count = (spread(x, mask) * spread(mask, x) for x in (batch.weight, batch.count))
    return replace(batch, weight=weight, count=count)


def mean_loss(
    losses: Tensor, chosen: Batch | Tensor | None = None, counts: Tensor | None = None
) -> Tensor:
    """Return the mean of losses [B] or [B, H, W]: Σ weight·loss / Σ count, 0 if none counts.

    `chosen` is a mask (bool, [B] or [B, H, W]): the mean over what it keeps; or weights (float):
    Σ weight·loss over the number of losses; or the Batch of a mixer, with both. `counts` replaces
    the 1 that a loss adds to the denominator: pass `loss.denominator(labels)` of a loss with class
    weights or ignored pixels.
    """
    one = torch.ones((), dtype=losses.dtype, device=losses.device)
    if isinstance(chosen, Batch):
        weight, count = chosen.weight, chosen.count
    elif chosen is not None and chosen.dtype == torch.bool:
        weight = count = chosen
        losses = losses.masked_fill(~spread(chosen, losses), 0.0)  # 0 · inf would be NaN
    else:
        weight, count = one if chosen is None else chosen, one
    weight = spread(weight, losses) if weight.ndim else weight
    count = (spread(count, losses) if count.ndim else count).expand_as(losses)
    denominator = count.sum() if counts is None else (count * counts).sum()
    return (weight * losses).sum() / denominator.clamp(min=TINY)


BOX = 5  # numbers of a box: class, x0, y0, x1, y1
Input = Literal["image", "text"]  # of a model


def input_kind(shape: Sequence[int]) -> Input:
    """Tell the kind of input by the shape of one: an image is [C, H, W], a text's words [L]."""
    return "image" if len(shape) == 3 else "text"


def blank(shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return one input of that shape for a trial: a standardised grey image, or no words."""
    dtype = torch.float32 if input_kind(shape) == "image" else torch.int32
    return torch.zeros(1, *shape, dtype=dtype, device=device)


Target = Literal["class", "multilabel", "mask", "vector", "image", "boxes"]  # label of an example
TARGETS: tuple[Target, ...] = get_args(Target)


def target_kind(labels: Tensor) -> Target:
    """Tell the kind of target from the dtype and shape of labels [B, ...].

    Class ids [B], multi-hot labels bool [B, C], masks [B, H, W], numbers [B] or [B, D], boxes
    float [B, N, 5], or images. Raises ValueError if no kind has them.
    """
    kinds: dict[int, Target] = {1: "class", 3: "mask"}
    if labels.dtype == torch.bool:
        kinds[2] = "multilabel"
    elif labels.is_floating_point():
        kinds = {1: "vector", 2: "vector", 4: "image"}
        if labels.shape[-1:] == (BOX,):
            kinds[3] = "boxes"
    if labels.ndim not in kinds:
        shape = list(labels.shape)
        raise ValueError(
            f"labels must be classes, masks, vectors or images, or bool [N, C], got {labels.dtype} "
            f"{shape}"
        )
    return kinds[labels.ndim]
