"""SMOTE (Chawla et al. 2002, https://arxiv.org/abs/1106.1813), sec. 4.2.

Small classes gain synthetic examples, interpolated between an example and a near neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.extra import missing
from trainer.core.npy import mapped
from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.dataset.shared.regular_file import open_regular
from trainer.sampler.base import PreparedSampler, by_class, shuffled
from trainer.storage.restored import Restore

if TYPE_CHECKING:
    from trainer.sampler.shared.smote_pairs import Pairs

READ_AT_ONCE = 1024


@dataclass(frozen=True)
class Pool:
    """A class's examples, between which synthetic ones are interpolated."""

    ids: Tensor  # [n_c]
    neighbours: np.ndarray  # [n_c, k] positions in ids
    missing: int  # synthetic examples needed to match the largest class


class Smote(PreparedSampler):
    """Every example once, plus synthetic ones that bring each class up to the largest.

    A synthetic example is x + λ·(x' − x) in pixels, λ ~ U(0, 1), with x' one of the `k` nearest
    neighbours of x in its class: by pixels or, with `space: feature`, by the features of
    `reference`. That is a `.npy` array [M, d] indexed by dataset id, or a finished run, whose
    features are the inputs of its model's last layer.
    """

    inputs = ("image",)
    targets = ("class",)

    def __init__(
        self,
        restore: Restore | None = None,
        *,
        k: int = 5,
        space: Literal["pixel", "feature"] = "pixel",
        reference: str | None = None,
    ) -> None:
        within("sampler.k", k, "[1, inf)")
        if space == "feature" and reference is None:
            raise ValueError("sampler.reference must be given with sampler.space=feature")
        if space == "pixel" and reference is not None:
            raise ValueError(f"sampler.reference={reference} needs sampler.space=feature")
        if find_spec("imblearn") is None:
            raise missing("sampler=smote", "smote")
        self.restore = restore
        self.k = k
        self.reference = reference

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, Tensor | None]:
        """Ids [R, 2] and shares [R, 2]; an original example has the shares 1 and 0."""
        pools = self.prepared(split)
        if not pools:
            return shuffled(split.ids, rng), None
        pairs = [split.ids[:, None].expand(-1, 2)]
        shares = [np.zeros(len(split))]
        smote = pairs_of(self.k, int(rng.integers(2**32)))
        for pool in pools:
            positions, drawn = smote.draw(pool.neighbours, pool.missing)
            pairs.append(pool.ids[positions])
            shares.append(drawn)
        share = torch.from_numpy(np.concatenate(shares)).float()
        order = torch.from_numpy(rng.permutation(len(share)))
        return torch.cat(pairs)[order], torch.stack([1 - share, share], 1)[order]

    def prepare(self, split: Split) -> list[Pool]:
        """A pool for each class below the largest.

        Raises DataError if such a class has k examples or fewer.
        """
        classes = by_class(split)
        largest = max(map(len, classes.values()))
        small = {label: ids for label, ids in classes.items() if len(ids) < largest}
        for label, ids in small.items():
            if len(ids) <= self.k:
                raise DataError(
                    f"sampler.k={self.k}: class {label} has {len(ids)} training examples, too few "
                    f"for {self.k} neighbours each; lower sampler.k"
                )
        if not small:
            return []
        features = self.features(replace(split, ids=torch.cat([*small.values()])))
        parts = features.split([len(ids) for ids in small.values()])
        smote = pairs_of(self.k)
        return [
            Pool(ids, smote.nearest(part.numpy()), largest - len(ids))
            for ids, part in zip(small.values(), parts, strict=True)
        ]

    def features(self, split: Split) -> Tensor:
        """Features [n, d] of a split's examples, in the space of the neighbour search.

        Raises ValueError for a `reference` that is a run if the sampler was given no `restore`.
        """
        if self.reference is None:
            parts = split.ids.split(READ_AT_ONCE)
            return torch.cat([split.images.read(ids.tolist()).flatten(1) for ids in parts]).float()
        if Path(self.reference).suffix == ".npy":
            return from_file(Path(self.reference), split)
        if self.restore is None:
            raise ValueError(f"sampler.reference must be a .npy file, got {self.reference}")
        return self.restore(self.reference, "sampler.reference").features(split)


def pairs_of(k: int, seed: int = 0) -> Pairs:
    """imbalanced-learn's SMOTE, imported lazily: the import takes 1.5 s."""
    from trainer.sampler.shared.smote_pairs import Pairs

    # A generator, not a seed: a seed would restart the draws for each class.
    return Pairs(k_neighbors=k, random_state=np.random.RandomState(seed))


def from_file(path: Path, split: Split) -> Tensor:
    """Features [n, d] of a split from a `.npy` array [M, d] indexed by dataset id.

    Raises DataError if the file is unreadable, has another shape, or is not finite at these ids.
    """
    try:
        open_regular(path).close()
        array = mapped(path)
    except (OSError, ValueError) as error:
        raise DataError(f"sampler.reference={path} cannot be read: {error}") from error
    if array.ndim != 2 or len(array) != len(split.labels):
        shape = f"[{len(split.labels)}, d]"
        raise DataError(f"sampler.reference={path} must be {shape}, got {list(array.shape)}")
    features = torch.from_numpy(array[split.ids.numpy()]).float()
    if not features.isfinite().all():
        raise DataError(f"sampler.reference={path} has training features that are not finite")
    return features
