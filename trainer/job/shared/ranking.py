"""Ranks the labels of one or several runs by how suspect they are."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trainer import history
from trainer.core.errors import CheckpointError, DataError
from trainer.history import dynamics
from trainer.history.analysis import History, differ
from trainer.history.neighbours import vote_margin
from trainer.job.shared.cutoff import Scored
from trainer.storage.untrusted import read_json, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trainer.trained.examined import Examined

By = Literal[
    "auto", "aum", "loss", "self_confidence", "margin", "neighbors", "combined", "out_of_fold"
]
SIGN = {"loss": 1.0}  # of a score, for the most suspect to be the highest; −1 for the others
COMBINED = ["aum", "margin", "neighbors"]  # each is poor under another kind of noise
RULES = {"aum": 0.0, "margin": 0.0, "neighbors": 0.0}
LARGEST = 2**28  # bytes of metrics.jsonl


@dataclass(frozen=True)
class Source:
    """The records of one run that count, and what looks at its model."""

    reference: str
    whole: History  # of all epochs
    store: History  # of those in the window
    epochs: tuple[int, int]  # the first and last in the window, from 1
    look: Callable[[], Examined]  # at its training split

    def has_features(self) -> bool:
        """Whether there is a model to look with, and it has features."""
        try:
            return self.look().features.shape[1] > 0
        except CheckpointError:
            return False

    def score(self, by: str) -> np.ndarray:
        """The score [M] by dataset id; NaN for examples it has none of."""
        values = np.full(self.store.size, np.nan)
        if by != "neighbors":
            values[self.store.ids] = dynamics.score(self.store, by)  # pyright: ignore
            return values
        seen = self.look()
        labels = dynamics.labels_of(self.store)[seen.ids]
        if not seen.features.shape[1]:
            raise DataError(
                f"job.by=neighbors: the model of {self.reference} has no linear layer, so no "
                "features; take job.by=margin"
            )
        values[seen.ids] = vote_margin(seen.features, labels)
        return values


def source_of(
    run: Path, reference: str, part: Sequence[float] | None, look: Callable[[], Examined]
) -> Source:
    """Open the store of a run. Without `part`, of the epochs to the best those after half count.

    With several labels an image, without `part`, all epochs do.
    """
    whole = history.open(run)
    several = whole.labels is None or whole.labels.ndim > 1
    best = whole.epochs if several and part is None else best_epoch(run, whole.epochs)
    store = dynamics.window(whole, best, part or ((0, 1) if several else (0.5, 1)))
    last = max(math.floor((part or (0, 1))[1] * best + 1e-9), 1)
    return Source(reference, whole, store, (last - store.epochs + 1, last), look)


def best_epoch(run: Path, epochs: int) -> int:
    """The epoch, from 1, of the checkpoint that the run calls its best; the last if it has none."""
    try:
        step = read_json(run / "result.json").get("best_step")
        lines = read_text(run / "metrics.jsonl", LARGEST).splitlines()
    except CheckpointError:
        return epochs
    for line in lines if step is not None else ():
        found = parsed(line)
        epoch = found.get("epoch")
        if (found.get("split"), found.get("step")) == ("val", step) and isinstance(epoch, int):
            return min(max(epoch + 1, 1), epochs)
    return epochs


def parsed(line: str) -> dict[str, Any]:
    """The mapping in a line of JSON; an empty one for anything else."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def check_alike(sources: Sequence[Source]) -> None:
    """Raise DataError unless all runs have the same examples with the same labels.

    A run with another validation split, or subset, may lack some of the first one's examples.
    """
    first = sources[0]
    for other in sources[1:]:
        a, b = first.store.labels, other.store.labels
        if a is None or b is None or a.shape != b.shape or not np.array_equal(a, b):
            raise DataError(
                f"{first.reference} and {other.reference} have different examples or labels; give "
                "runs on the same data (dataset.label_noise draws other errors with another seed)"
            )
        if not len(shared(first, other)):
            raise DataError(
                f"{other.reference} was trained on none of the examples of {first.reference}; give "
                "runs on the same data"
            )


def shared(first: Source, other: Source) -> np.ndarray:
    """The dataset ids [k] that both runs were trained on."""
    return np.intersect1d(first.store.ids, other.store.ids)


def little_shared(sources: Sequence[Source]) -> list[str]:
    """A sentence for each run that was trained on less than half of the first one's examples."""
    first, *others = sources
    numbers = [(other.reference, len(shared(first, other))) for other in others]
    return [
        f"{run} was trained on {number} of the {len(first.store.ids)} examples of "
        f"{first.reference}; the others are ranked without it"
        for run, number in numbers
        if number < len(first.store.ids) / 2
    ]


def scored(sources: Sequence[Source], by: str) -> Scored:
    """The scores of the first run's examples: of that run, or the mean rank over all of them.

    A rank is the share of a run's examples that are less suspect. A run counts for the examples
    that it was trained on.
    """
    first = sources[0].store
    kinds = kinds_of(sources, by)
    each = [(kind, source.score(kind)) for source in sources for kind in kinds]
    if len(each) == 1:
        values, sign = each[0][1], SIGN.get(by, -1.0)
        rule = RULES.get(by, rule_of(first, by))
    else:
        ranks = [rank(SIGN.get(kind, -1.0) * values) for kind, values in each]
        values, sign, rule = mean_of(ranks), 1.0, None
    kept = first.ids[first.ordinary()]
    wrong = None
    if first.true_labels is not None and first.labels is not None:
        wrong = differ(first.labels, first.true_labels)[kept]
    marked = first.ids[~first.ordinary()]
    return Scored(kept, values[kept], sign, wrong, values[marked], rule)


def kinds_of(sources: Sequence[Source], by: str) -> list[str]:
    """The scores that count, of `combined` those that all runs have."""
    if by != "combined":
        return [by]
    seen = all(source.has_features() for source in sources)
    return [kind for kind in COMBINED if seen or kind != "neighbors"]


def rule_of(store: History, by: str) -> float:
    """The score of a guess: log C or 1 / C for C classes; with several labels, log 2 or 1 / 2."""
    labels = store.labels
    classes = 2 if labels is None or labels.ndim > 1 else int(labels.max()) + 1
    return math.log(classes) if by == "loss" else 1 / classes


def rank(scores: np.ndarray) -> np.ndarray:
    """The share [M] of the scores [M] that are lower; ties by place. NaN for NaN."""
    order = np.argsort(scores, kind="stable")  # NaN last
    known = order[: len(scores) - int(np.isnan(scores).sum())]
    ranks = np.full(len(scores), np.nan)
    ranks[known] = (np.arange(len(known)) + 0.5) / max(len(known), 1)
    return ranks


def mean_of(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The mean [M] over rows [M], each where it is known."""
    stacked = np.stack(rows)
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):  # 0 / 0 where none is
        return np.where(known, stacked, 0).sum(0) / known.sum(0)
