"""The augmentation that cuts pieces out of images stored uncut, which a loader carries out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trainer.augmentation.base import Augmentation, Geometric
from trainer.core.seed import ExampleRandom
from trainer.dataset.shared.windows import EpochCut


class Taken(Augmentation):
    """An augmentation that the loader has carried out: here it only uses up its random numbers.

    The next augmentation draws the same ones as it would after it.
    """

    def __init__(self, own: Geometric) -> None:
        self.own = own
        trial, sides = ExampleRandom(0, 0, torch.zeros(1)), own.size or (1, 1)
        own.windows(trial, *torch.tensor(sides)[:, None].unbind(0))
        self.calls = trial.calls

    def __call__(self, images: Tensor, draws: ExampleRandom) -> Tensor:
        """Return the images as they are."""
        draws.calls += self.calls
        return images


def taken(augmentation: Sequence[Augmentation], *, uncut: bool) -> list[Augmentation]:
    """The augmentations as a step carries them out: of images stored uncut, without the cutting."""
    first = cutting(augmentation) if uncut else None
    return list(augmentation) if first is None else [Taken(first), *augmentation[1:]]


def cutting(augmentation: Sequence[Augmentation]) -> Geometric | None:
    """The augmentation that cuts pieces of a size, which is the first; None if none does."""
    first = augmentation[0] if augmentation else None
    return first if isinstance(first, Geometric) and first.size is not None else None


def cut_of(
    augmentation: Sequence[Augmentation], seed: int, epoch: int, places: Callable[[int], Tensor]
) -> EpochCut | None:
    """What a loader is told to cut in an epoch; None where that is not taken from a step.

    `places` are the positions [B] of a step's rows in the epoch's plan.
    """
    first = augmentation[0] if augmentation else None
    return EpochCut(first.own, seed, epoch, places) if isinstance(first, Taken) else None
