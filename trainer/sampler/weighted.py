"""Examples drawn in proportion to their weights, with replacement."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainer.core.batch import Target
from trainer.core.errors import DataError
from trainer.core.npy import mapped
from trainer.core.ranges import within
from trainer.core.text import count
from trainer.dataset import Split
from trainer.dataset.shared.regular_file import open_regular
from trainer.report.csv_file import short_lines
from trainer.sampler.base import PreparedSampler, by_class


class Weighted(PreparedSampler):
    """Draws as many rows as the split has examples, like torch's WeightedRandomSampler.

    `weights` is `balanced`, 1 / n_c for an example of a class of n_c; a list with a weight for each
    class; or a file with a weight for each example: a `.npy` array [M] indexed by dataset id, or a
    `.csv` with the columns `id` and `weight`.
    """

    def __init__(self, *, weights: Sequence[float] | str = "balanced") -> None:
        if not isinstance(weights, str):
            within("sampler.weights", weights, "[0, inf)")
        elif weights != "balanced" and Path(weights).suffix not in (".npy", ".csv"):
            raise ValueError(
                "sampler.weights must be balanced, a list with a weight for each class, or a .npy "
                f"or .csv file, got {weights}"
            )
        if weights == "balanced" or not isinstance(weights, str):
            self.targets = ("class",)  # pyright: ignore[reportAttributeAccessIssue]  # this object
        self.weights = weights

    def instead(self, target: Target) -> str | None:
        """A file has a weight for each example, whatever its label."""
        return "sampler.weights=FILE or sampler=shuffle"

    def rows(self, split: Split, rng: np.random.Generator) -> tuple[Tensor, None]:
        """Ids [n], drawn independently with replacement."""
        probabilities = self.prepared(split)
        drawn = rng.choice(len(split), len(split), p=probabilities)
        return split.ids[torch.from_numpy(drawn)], None

    def ids(self, split: Split) -> Tensor:
        """The ids [m] with a weight above 0."""
        return split.ids[torch.from_numpy(self.prepared(split) > 0)]

    def prepare(self, split: Split) -> np.ndarray:
        """The probability [n] of each example of the split.

        Raises ValueError if all weights are 0.
        """
        if isinstance(self.weights, str) and self.weights != "balanced":
            weights = from_file(Path(self.weights), split)
        else:
            weights = self.weights_by_class(split)
        if not weights.sum() > 0:
            raise ValueError(f"sampler.weights={self.weights}: all examples have weight 0")
        return weights / weights.sum()

    def weights_by_class(self, split: Split) -> np.ndarray:
        """Weights [n] of the split's examples, from the weights of their classes.

        Raises ValueError unless `weights` has one value for each class.
        """
        classes, num_classes = by_class(split), int(split.labels.max()) + 1
        if self.weights == "balanced":
            table = np.zeros(num_classes)
            table[list(classes)] = [1 / len(ids) for ids in classes.values()]
        else:
            table = np.array(self.weights)
        if len(table) != num_classes:
            raise ValueError(
                f"sampler.weights has {count(len(table), 'value')} for {num_classes} classes"
            )
        return table[split.labels[split.ids].numpy()]


def from_file(path: Path, split: Split) -> np.ndarray:
    """Weights [n] of the split's examples from a `.npy` or `.csv` file.

    Raises DataError if the file is unreadable, lacks ids, or has a weight below 0 or not finite.
    """
    ids = split.ids.numpy()
    try:
        with open_regular(path) as file:
            if path.suffix == ".npy":
                weights = mapped(path)[ids].astype(np.float64)
            else:
                text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
                rows = csv.DictReader(short_lines(text))
                by_id = {int(row["id"]): float(row["weight"]) for row in rows}
                weights = np.array([by_id[i] for i in ids.tolist()])
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"sampler.weights={path} cannot be read: {error}") from error
    except KeyError as error:
        raise DataError(f"sampler.weights={path} has no column or id {error}") from error
    except IndexError as error:
        raise DataError(f"sampler.weights={path} has too few rows: {error}") from error
    if weights.shape != ids.shape or not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError(f"sampler.weights={path} must have one finite number >= 0 for each id")
    return weights
