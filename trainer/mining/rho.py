"""RHO-LOSS (Mindermann et al. 2022, https://arxiv.org/abs/2206.07137), eq. 3.

The examples worth training on have a high reducible loss: their loss minus the irreducible loss,
which is that of a model trained on other data. Examples that are hard for both are likely noise.
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
from trainer.core.text import count
from trainer.mining.base import Epoch, Miner
from trainer.mining.ohem_two_pass import OhemTwoPass
from trainer.report.csv_file import escape_formula

HOW = "conf/mining/rho.yaml lists the commands that create it"
COLUMNS = ("id", "label", "loss", "seen")


@dataclass(kw_only=True)
class Rho(OhemTwoPass):
    """Trains on the `keep` of each batch with the largest reducible loss.

    `reference` is the folder of a `job=predict` run, or a CSV file with the columns id and loss.
    Labels in the file must match this run's; examples that its model was trained on have no
    irreducible loss. That of a mixed image is the share-weighted sum.

    Outside the runner, call `rows` with loss minus irreducible loss.
    """

    targets = Miner.targets  # one irreducible loss an example
    keep: float = 0.1
    reference: str | None = None
    irreducible = set_by("prepare(labels)")  # losses [M], NaN where there is none

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference is None:
            raise ValueError(f"mining.reference must be a job=predict run or a CSV file; {HOW}")
        if self.score != "loss":
            raise ValueError(f"mining.score must be loss, got {self.score}")

    def prepare(self, labels: Tensor) -> None:
        """Read the irreducible losses for labels [M, ...]. Raises DataError for a bad file."""
        losses = read_losses(Path(str(self.reference)), labels.cpu())
        self.irreducible: Tensor = losses.to(labels.device)

    def refresh(self, epoch: Epoch, scan: Callable[[Tensor], Tensor]) -> None:
        """Raise DataError unless every example of the training split has an irreducible loss."""
        self.require(epoch.ids)

    def require(self, ids: Tensor) -> None:
        """Raise DataError unless every one of the ids [n] has an irreducible loss."""
        missing = int(self.irreducible[ids.to(self.irreducible.device)].isnan().sum())
        if missing:
            raise DataError(
                f"mining.reference={self.reference}: no loss of a model trained on other data for "
                f"{missing} of the {len(ids)} training examples; {HOW}"
            )

    def select(self, batch: Batch, rank: Callable[[Batch], Tensor], step_id: StepId) -> Batch:
        """The rows with the largest reducible loss, in the batch's order."""
        return super().select(batch, lambda rows: self.reducible(rank(rows), rows), step_id)

    def reducible(self, ranks: Tensor, batch: Batch) -> Tensor:
        """The ranks [B] or [B, H, W] minus the batch's irreducible losses."""
        irreducible = (batch.shares * self.irreducible[batch.index]).sum(1)
        return ranks - spread(irreducible, ranks)


def read_losses(path: Path, labels: Tensor) -> Tensor:
    """Irreducible losses [M] by dataset id, NaN where missing, for labels [M, ...].

    Raises DataError for a file that is missing, malformed or of another data set.
    """
    file = path / "predictions.csv" if path.is_dir() else path
    setting = f"mining.reference={path}"
    if not file.is_file():
        raise DataError(f"{setting}: {file} does not exist; {HOW}")
    try:
        columns, classes = columns_of(file)
        ids = torch.tensor([int(text) for text in columns["id"]], dtype=torch.long)
        losses = torch.tensor([float(text) for text in columns["loss"]])
    except (ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{setting}: {file} is not a file of predictions: {error}") from error
    valid = losses.isfinite().all() & (ids >= 0).all() & (ids < len(labels)).all()
    if not valid or len(ids.unique()) < len(ids):
        raise DataError(f"{setting}: {file} has ids or losses that do not fit this data set")
    if "label" in columns and classes and labels.ndim == 1:
        check_labels(columns["label"], classes, labels[ids], setting)
    unseen = torch.tensor([text != "1" for text in columns.get("seen", [""] * len(ids))]).bool()
    irreducible = torch.full((len(labels),), torch.nan)
    irreducible[ids[unseen]] = losses[unseen]
    return irreducible


def check_labels(names: list[str], classes: list[str], labels: Tensor, setting: str) -> None:
    """Raise DataError, naming `setting`, unless n class names are those of the labels [n]."""
    number = {escape_formula(name): i for i, name in enumerate(classes)}  # as job=predict writes
    number |= {name: i for i, name in enumerate(classes)}
    recorded = torch.tensor([number.get(name, -1) for name in names], dtype=torch.long)
    if wrong := int((recorded != labels).sum()):
        raise DataError(
            f"{setting}: {wrong} of its {count(len(names), 'label')} "
            f"differ{'s' * (wrong == 1)} from this run's; run "
            "job=predict with the dataset settings and the seed of this run"
        )


def columns_of(file: Path) -> tuple[dict[str, list[str]], list[str]]:
    """The columns of COLUMNS in a CSV file, by name, and its class names in order.

    Raises ValueError if the column id or loss is missing.
    """
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = csv.reader(lines)
        names = next(rows, [])
        if missing := {"id", "loss"} - set(names):
            raise ValueError(f"no column {' or '.join(sorted(missing))}")
        positions = {name: names.index(name) for name in COLUMNS if name in names}
        columns: dict[str, list[str]] = {name: [] for name in positions}
        for row in rows:  # the probabilities of 1000 classes would not fit in memory
            for name, position in positions.items():
                columns[name].append(row[position])
    classes = [name[2:] for name in names[names.index("loss") :] if name.startswith("p_")]
    return columns, classes
