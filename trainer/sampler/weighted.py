"""Examples drawn in proportion to their weights, with replacement."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.core.errors import DataError
from trainer.core.ranges import within
from trainer.dataset import Split
from trainer.sampler.base import PreparedSampler, by_class


class Weighted(PreparedSampler):
    """As many draws as the split has examples; torch's WeightedRandomSampler as a plan.

    `weights` is `balanced`, 1 / n_c for an example of a class of n_c; a list, the weight of an
    example by its class; or a file with the weight of each example by dataset id: an array [M] as
    `.npy`, or a `.csv` with the columns `id` and `weight`.
    """

    def __init__(self, *, weights: list[float] | str = "balanced") -> None:
        if isinstance(weights, list):
            within("sampler.weights", weights, "[0, inf)")
        elif weights != "balanced" and Path(weights).suffix not in (".npy", ".csv"):
            raise ValueError(
                "sampler.weights must be balanced, a list with a weight for each class, or a .npy "
                f"or .csv file, got {weights}"
            )
        self.weights = weights

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [n] of independent draws."""
        chances = self.prepared(split)
        return split.ids[torch.from_numpy(rng.choice(len(split), len(split), p=chances))], None

    def ids(self, split: Split) -> Tensor:
        """The ids with a weight above 0."""
        return split.ids[torch.from_numpy(self.prepared(split) > 0)]

    def prepare(self, split: Split) -> np.ndarray:
        """The probability [n] of each example of the split."""
        if isinstance(self.weights, str) and self.weights != "balanced":
            weights = from_file(Path(self.weights), split)
        else:
            weights = self.of_classes(split)
        if not weights.sum() > 0:
            raise ValueError(f"sampler.weights={self.weights}: all examples have weight 0")
        return weights / weights.sum()

    def of_classes(self, split: Split) -> np.ndarray:
        """Weights [n] by class."""
        classes, number = by_class(split), int(split.labels.max()) + 1
        if self.weights == "balanced":
            table = np.zeros(number)
            table[list(classes)] = [1 / len(ids) for ids in classes.values()]
        else:
            table = np.array(self.weights)
        if len(table) != number:
            raise ValueError(f"sampler.weights has {len(table)} values for {number} classes")
        return table[split.labels[split.ids].numpy()]


def from_file(path: Path, split: Split) -> np.ndarray:
    """Weights [n] of the split's examples. Raises DataError, naming the file and what is wrong."""
    ids = split.ids.numpy()
    try:
        if path.suffix == ".npy":
            weights = np.load(path, allow_pickle=False)[ids].astype(np.float64)
        else:
            with path.open(newline="") as file:
                by_id = {int(row["id"]): float(row["weight"]) for row in csv.DictReader(file)}
            weights = np.array([by_id[number] for number in ids.tolist()])
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"sampler.weights={path} cannot be read: {error}") from error
    except (KeyError, IndexError) as error:
        raise DataError(f"sampler.weights={path} lacks {error}, of {len(ids)} ids") from error
    if weights.shape != ids.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError(f"sampler.weights={path} must hold one number of at least 0 for each id")
    return weights
