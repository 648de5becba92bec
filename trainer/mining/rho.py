"""RHO-LOSS (Mindermann et al. 2022, https://arxiv.org/abs/2206.07137), eq. 3.

The examples worth training on have a high reducible loss: their loss less the irreducible loss,
which is that of a model trained on other data. Examples that are hard for both are noise.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from trainer.core.batch import Batch, spread
from trainer.core.errors import DataError
from trainer.core.lazy import set_by
from trainer.core.seed import StepId
from trainer.mining.base import Epoch
from trainer.mining.ohem_two_pass import OhemTwoPass

HOW = "conf/mining/rho.yaml lists the commands that create it"
COLUMNS = ("id", "label", "loss", "seen")


@dataclass(kw_only=True)
class Rho(OhemTwoPass):
    """Trains on the `keep` of each batch with the largest reducible loss.

    `reference` is the folder of a `job=predict` run, or a csv file with the columns id and loss.
    Labels in the file must match this run's, and examples that its model has seen have no
    irreducible loss. That of a mixed image is the share-weighted sum.

    Outside the runner, `OhemTwoPass.rows` of loss less irreducible loss does the same.
    """

    keep: float = 0.1
    reference: str | None = None
    irreducible = set_by("prepare(labels)")  # losses [M], NaN where there is none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference is None:
            raise ValueError(f"mining.reference must be a job=predict run or a csv file; {HOW}")
        if self.score != "loss":
            raise ValueError(f"mining.score must be loss, got {self.score}")

    def prepare(self, labels: Tensor) -> None:
        """Read the irreducible losses. Raises DataError that names the file and the remedy."""
        losses = read_losses(Path(str(self.reference)), labels.cpu())
        self.irreducible: Tensor = losses.to(labels.device)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Raise DataError unless every example of the training split has an irreducible loss."""
        self.require(epoch.ids)

    def require(self, ids: Tensor) -> None:
        """Raise DataError unless every one of the ids [n] has an irreducible loss."""
        absent = int(self.irreducible[ids.to(self.irreducible.device)].isnan().sum())
        if absent:
            raise DataError(
                f"mining.reference={self.reference}: it lacks the losses of {absent} of the "
                f"{len(ids)} training examples by a model trained on others; {HOW}"
            )

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The rows with the largest reducible loss, in their order."""
        return super().select(batch, lambda rows: self.reducible(rank(rows), rows), step_id)

    def reducible(self, ranks: Tensor, batch: Batch) -> Tensor:
        """The ranks [B] or [B, H, W] less the batch's irreducible losses."""
        irreducible = (batch.shares * self.irreducible[batch.index]).sum(1)
        return ranks - spread(irreducible, ranks)


def read_losses(path: Path, labels: Tensor) -> Tensor:
    """Irreducible losses [M] by dataset id, NaN where missing, for labels [M, ...].

    Raises DataError for a file that is missing, malformed or of another data set.
    """
    file = path / "predictions.csv" if path.is_dir() else path
    about = f"mining.reference={path}"
    if not file.is_file():
        raise DataError(f"{about}: {file} does not exist; {HOW}")
    try:
        columns, classes = columns_of(file)
        ids = torch.tensor([int(text) for text in columns["id"]], dtype=torch.long)
        losses = torch.tensor([float(text) for text in columns["loss"]])
    except (ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{about}: {file} is not a file of predictions: {error}") from error
    possible = losses.isfinite().all() & (ids >= 0).all() & (ids < len(labels)).all()
    if not possible or len(ids.unique()) < len(ids):
        raise DataError(f"{about}: {file} has ids or losses that do not fit this data set")
    if "label" in columns and classes and labels.ndim == 1:
        check_labels(columns["label"], classes, labels[ids], about)
    others = torch.tensor([text != "1" for text in columns.get("seen", [""] * len(ids))]).bool()
    found = torch.full((len(labels),), torch.nan)
    found[ids[others]] = losses[others]
    return found


def check_labels(names: list[str], classes: list[str], labels: Tensor, about: str) -> None:
    """Raise DataError unless the names of classes [n] are those of the labels [n]."""
    number = {name: i for i, name in enumerate(classes)}
    recorded = torch.tensor([number.get(name, -1) for name in names], dtype=torch.long)
    if wrong := int((recorded != labels).sum()):
        raise DataError(
            f"{about}: {wrong} of its {len(names)} labels differ from this run's; run "
            "job=predict with the dataset settings and the seed of this run"
        )


def columns_of(file: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The columns of COLUMNS that a csv file has, by name, and its class names in order."""
    with file.open(newline="") as lines:
        rows = csv.reader(lines)
        names = next(rows, [])
        if lacking := {"id", "loss"} - set(names):
            raise ValueError(f"no column {' or '.join(sorted(lacking))}")
        places = {name: names.index(name) for name in COLUMNS if name in names}
        columns: dict[str, list[str]] = {name: [] for name in places}
        for row in rows:  # the probabilities of 1000 classes would not fit in memory
            for name, place in places.items():
                columns[name].append(row[place])
    classes = [name[2:] for name in names[names.index("loss") :] if name.startswith("p_")]
    return columns, classes
