"""RHO-LOSS (Mindermann et al. 2022, https://arxiv.org/abs/2206.07137), eq. 3.

What is worth training on has a high loss that could be lower: the loss less the irreducible loss,
that of a model which was trained on other data. Examples that are hard for both are noise.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from trainer.core.batch import Batch, spread
from trainer.core.errors import DataError
from trainer.core.seed import StepId
from trainer.mining.base import Epoch
from trainer.mining.ohem_two_pass import OhemTwoPass

HOW = "conf/mining/rho.yaml has the commands that make it"
COLUMNS = ("id", "label", "loss", "seen")


@dataclass(kw_only=True)
class Rho(OhemTwoPass):
    """Trains on the `keep` of each batch with the largest reducible loss.

    `reference` is the folder of a `job=predict` run, or a csv file with the columns id and loss.
    Where the file tells labels they must be this run's, and where it tells which examples its
    model has seen, those have no irreducible loss. A mixed image's is the share-weighted sum.
    """

    keep: float = 0.1
    reference: str | None = None
    irreducible: Tensor = field(init=False, default_factory=lambda: torch.empty(0))  # [M] or NaN

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference is None:
            raise ValueError(f"mining.reference must be given: a run of job=predict; {HOW}")
        if self.score != "loss":
            raise ValueError(f"mining.score must be loss, got {self.score}")

    def prepare(self, labels: Tensor) -> None:
        """Read the irreducible losses. Raises DataError, naming the file and what to do."""
        self.irreducible = read(Path(str(self.reference)), labels.cpu()).to(labels.device)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Raise DataError unless every example of the training split has an irreducible loss."""
        self.check(epoch.ids)

    def check(self, ids: Tensor) -> None:
        """Raise DataError unless every one of the ids [n] has an irreducible loss."""
        absent = int(self.irreducible[ids.to(self.irreducible.device)].isnan().sum())
        if absent:
            raise DataError(
                f"mining.reference={self.reference}: {absent} of the {len(ids)} training examples "
                f"have no loss there of a model that was trained on others; {HOW}"
            )

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The rows with the largest reducible loss, in their order."""
        return super().select(batch, lambda rows: self.reducible(rank(rows), rows), step_id)

    def reducible(self, ranks: Tensor, batch: Batch) -> Tensor:
        """The ranks [B] or [B, H, W] less the irreducible losses."""
        irreducible = (batch.shares * self.irreducible[batch.index]).sum(1)
        return ranks - spread(irreducible, ranks)


def read(path: Path, labels: Tensor) -> Tensor:
    """Irreducible losses [M] by dataset id, NaN where there is none; labels [M, ...]."""
    file = path / "predictions.csv" if path.is_dir() else path
    about = f"mining.reference={path}"
    if not file.is_file():
        raise DataError(f"{about}: there is no {file}; {HOW}")
    try:
        columns, classes = columns_of(file)
        ids = torch.tensor([int(text) for text in columns["id"]], dtype=torch.long)
        losses = torch.tensor([float(text) for text in columns["loss"]])
    except (ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{about}: {file} holds no predictions: {error}") from error
    possible = losses.isfinite().all() & (ids >= 0).all() & (ids < len(labels)).all()
    if not possible or len(ids.unique()) < len(ids):
        raise DataError(f"{about}: {file} has ids or losses that this data set cannot have")
    if "label" in columns and classes and labels.ndim == 1:
        check_labels(columns["label"], classes, labels[ids], about)
    others = torch.tensor([text != "1" for text in columns.get("seen", [""] * len(ids))]).bool()
    found = torch.full((len(labels),), torch.nan)
    found[ids[others]] = losses[others]
    return found


def check_labels(names: list[str], classes: list[str], labels: Tensor, about: str) -> None:
    """Raise DataError where the names of classes are not those of the labels [n]."""
    number = {name: i for i, name in enumerate(classes)}
    told = torch.tensor([number.get(name, -1) for name in names], dtype=torch.long)
    if wrong := int((told != labels).sum()):
        raise DataError(
            f"{about}: {wrong} of its {len(names)} labels are not those of this run; give "
            "job=predict the dataset settings and the seed of this run"
        )


def columns_of(file: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The columns that matter here, by name, and the names of the classes in order."""
    with file.open(newline="") as lines:
        rows = csv.reader(lines)
        names = next(rows, [])
        if lacking := {"id", "loss"} - set(names):
            raise ValueError(f"no column {' or '.join(sorted(lacking))}")
        places = {name: names.index(name) for name in COLUMNS if name in names}
        columns: dict[str, list[str]] = {name: [] for name in places}
        for row in rows:  # the columns of 1000 classes would not fit into memory
            for name, place in places.items():
                columns[name].append(row[place])
    classes = [name[2:] for name in names[names.index("loss") :] if name.startswith("p_")]
    return columns, classes
