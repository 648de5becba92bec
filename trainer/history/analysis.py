"""Analysis of a run's records: which examples are hard, forgotten or labelled wrongly.

Of an example with label y, p_y is the probability that the model gives to y (the field
`confidence`), and its margin z_y − max z_other is y's logit less the largest other one (the field
`logit_margin`). AUM, the area under the margin, is the mean margin over the epochs: low or
negative for a wrong label. EL2N is the length of the error vector p − onehot(y).

Arrays [n] follow the order of `History.ids` and are NaN where an example was never seen. Records
are read one epoch at a time, so that memory does not grow with the number of epochs.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trainer.core.errors import DataError

UNSEEN = {
    "float16": math.nan,
    "uint8": 255,
    "int16": -1,
    "int32": -1,
}  # the value of "no record", by dtype
PERCENTILE = 99  # of the threshold class's AUM: the cut-off of Pleiss et al. 2020

By = Literal["aum", "loss"]


@dataclass(frozen=True)
class DataMap:
    """Training dynamics of each example (Swayamdipta et al. 2020, sec. 2, arXiv:2009.10795).

    The paper calls `mean` confidence and `spread` variability.
    """

    mean: np.ndarray  # [n] mean p_y over the epochs
    spread: np.ndarray  # [n] standard deviation of p_y over the E epochs, divided by E, not E − 1
    correctness: np.ndarray  # [n] fraction of the epochs in which the prediction was right


@dataclass(frozen=True)
class Forgetting:
    """Forgetting events (Toneva et al. 2019, sec. 3, https://arxiv.org/abs/1812.05159)."""

    events: np.ndarray  # [n] how often a right prediction was followed by a wrong one
    learned: np.ndarray  # [n] whether it was ever right; the paper counts the others as forgotten


@dataclass(frozen=True)
class Suspects:
    """Training examples ranked by how likely their labels are wrong, the most suspect first."""

    ids: np.ndarray  # [m] dataset ids
    values: np.ndarray  # [m] the AUM (ascending) or the mean loss (descending)
    cutoff: float  # labels are flagged from this value on
    flagged: int  # number of labels flagged, counted from the first
    wrong: np.ndarray | None  # [m] whether the label is wrong; None if true labels are not known

    @property
    def errors(self) -> int:
        """Number of wrong labels among all m; 0 if the true labels are not known."""
        return 0 if self.wrong is None else int(self.wrong.sum())

    def precision_recall(self, number: int) -> tuple[float, float]:
        """Precision and recall of calling the first `number` labels wrong; NaN if undefined."""
        if self.wrong is None:
            return math.nan, math.nan
        hits = int(self.wrong[:number].sum())
        return fraction(hits, min(number, len(self.ids))), fraction(hits, self.errors)


@dataclass(frozen=True)
class History:
    """The difficulty store of a run: each field is an array [epochs, M], mapped from its file.

    M is the size of the data source, and a dataset id an index into it; the training split has n
    examples. Fields: `loss`, and of a classifier `confidence` (p_y), `correct`, `prediction`,
    `logit_margin` and `el2n` (Paul et al. 2021, https://arxiv.org/abs/2107.07075); with several
    labels an example, bool [M, C], `doubt` instead of `prediction` (see trainer.history.store).
    """

    ids: np.ndarray  # [n] dataset ids of the training split
    fields: dict[str, np.ndarray]
    labels: np.ndarray | None = None  # [M] the labels trained on, by dataset id; None for masks
    true_labels: np.ndarray | None = None  # [M] set if `labels` are known to differ
    threshold: np.ndarray | None = None  # [t] ids relabelled as the threshold class (Pleiss et al.)
    given_labels: np.ndarray | None = None  # [M] those before dataset.corrections, if there are any
    objects: dict[str, np.ndarray] = field(default_factory=dict)  # [epochs, M, N], of boxes
    boxes: np.ndarray | None = None  # [M, N, 5]: class, x0, y0, x1, y1; see trainer.dataset
    keys: np.ndarray | None = None  # [M] what tar shards call their samples; None without shards

    @property
    def epochs(self) -> int:
        """Number of epochs recorded."""
        return len(next(iter(self.fields.values())))

    @property
    def size(self) -> int:
        """M, the number of examples of the data source."""
        return next(iter(self.fields.values())).shape[1]

    def __getitem__(self, field: str) -> np.ndarray:
        """Return the records [epochs, n] of the training split; NaN, 255 or −1 where not seen."""
        return self.field(field)[:, self.ids]

    def field(self, name: str) -> np.ndarray:
        """Return the records [epochs, M] of a field. Raises DataError if it is not recorded."""
        if name not in self.fields:
            raise DataError(
                f"the difficulty store of this task has no {name}, only {', '.join(self.fields)}"
            )
        return self.fields[name]

    def by_epoch(self, field: str, last: int | None = None) -> Iterator[np.ndarray]:
        """Yield the records [n] of each epoch, or of the `last` ones, as float32, NaN if unseen."""
        records = self.field(field)
        unseen = UNSEEN[records.dtype.name]
        for row in records[-last:] if last else records:
            values = np.asarray(row)[self.ids].astype(np.float32)
            values[values == unseen] = np.nan
            yield values

    def mean(self, field: str, last: int | None = None) -> np.ndarray:
        """Return the mean [n] over the epochs, or the `last` ones, in which an example was seen."""
        return self.mean_and_deviation(field, last)[0]

    def mean_and_deviation(
        self, field: str, last: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [n] and standard deviation [n] over the epochs an example was seen in."""
        total, square, seen = np.zeros((3, len(self.ids)))
        for row in self.by_epoch(field, last):
            known = ~np.isnan(row)
            values = np.where(known, row, 0).astype(np.float64)
            total += values
            square += values**2
            seen += known
        with np.errstate(invalid="ignore"):  # 0 / 0 if never seen, ∞ − ∞ of infinite losses
            mean = total / seen
            return mean, np.sqrt(np.maximum(square / seen - mean**2, 0))

    def latest(self, field: str) -> np.ndarray:
        """Return the latest record [n] of each example."""
        values = np.full(len(self.ids), np.nan, np.float32)
        for row in self.by_epoch(field):
            np.copyto(values, row, where=~np.isnan(row))
        return values

    def data_map(self) -> DataMap:
        """Return mean and spread of p_y, and correctness, over the epochs."""
        return DataMap(*self.mean_and_deviation("confidence"), self.mean("correct"))

    def forgetting(self) -> Forgetting:
        """Count how often each example was forgotten between one record of it and the next."""
        return forgetting_of(self.by_epoch("correct"), len(self.ids))

    def aum(self) -> np.ndarray:
        """Return the area under the margin [n]: the mean over the epochs of z_y − max z_other.

        Pleiss et al. 2020, eq. 2, https://arxiv.org/abs/2001.10528. They average only until the
        learning rate first drops: later the model memorises wrong labels.
        """
        return self.mean("logit_margin")

    def hardest(self, number: int, last: int = 5) -> np.ndarray:
        """Return the ids of the `number` examples with the highest mean loss in the `last` epochs.

        The threshold class is left out: its labels are wrong on purpose.
        """
        return self.ids[self.ranked(self.mean("loss", last))[:number]]

    def suspects(self, by: By = "aum", cutoff: float | None = None) -> Suspects:
        """Rank the examples by AUM or mean loss, and flag those at the cut-off or beyond.

        The default cut-off has 99 % of the threshold class beyond it. Without a threshold class it
        is an AUM of 0 (another class was ahead; with several labels, the model contradicts at least
        one) or a mean loss of log C, with several labels log 2 (worse than guessing). Raises
        DataError unless each example has a class, or several, as its label.
        """
        if self.labels is None or self.labels.dtype.kind not in "iub":
            raise DataError("suspected label errors need a class for each image")
        sign = -1.0 if by == "aum" else 1.0  # of the score, higher for more suspect
        scores = sign * (self.aum() if by == "aum" else self.mean("loss"))
        limit = self.default_cutoff(scores, by) if cutoff is None else sign * cutoff
        order = self.ranked(scores)
        ids = self.ids[order]
        wrong = None if self.true_labels is None else differ(self.labels, self.true_labels)[ids]
        flagged = int((scores[order] >= limit).sum())
        return Suspects(ids, sign * scores[order], sign * limit + 0.0, flagged, wrong)  # no −0

    def default_cutoff(self, scores: np.ndarray, by: By) -> float:
        """Return the lowest score flagged, on the scale of `scores` [n]."""
        marked = scores[~self.ordinary() & ~np.isnan(scores)]
        if len(marked):
            return float(np.percentile(marked, 100 - PERCENTILE))
        if by == "aum" or self.labels is None:
            return 0.0
        return math.log(2 if self.labels.ndim == 2 else self.labels.max() + 1)

    def ordinary(self) -> np.ndarray:
        """Return a mask [n] of the examples that are not of the threshold class."""
        return np.isin(self.ids, [] if self.threshold is None else self.threshold, invert=True)

    def ranked(self, scores: np.ndarray) -> np.ndarray:
        """Return the positions of the ordinary examples seen, by score [n], highest first."""
        order = np.argsort(-scores, kind="stable")
        return order[(self.ordinary() & ~np.isnan(scores))[order]]

    def positions_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the positions [k] of dataset ids [k] in `self.ids`."""
        order = np.argsort(self.ids, kind="stable")
        return order[np.searchsorted(self.ids, ids, sorter=order)]

    def check_split(self, ids: np.ndarray, labels: np.ndarray) -> None:
        """Raise DataError unless the training split has these ids [n] and labels [M, ...]."""
        ours, theirs = (len(self.ids), self.size), (len(ids), len(labels))
        if ours != theirs:
            raise DataError(
                "the difficulty store records {} of {} examples, the training split has {} of {}; "
                "use the dataset settings of the run".format(*ours, *theirs)
            )
        own = self.labels if self.boxes is None else self.boxes
        same = own is None or np.array_equal(own[ids], labels[ids])
        if not (same and np.array_equal(self.ids, ids)):
            raise DataError(
                "the difficulty store has other examples or labels than the training split; use "
                "the seed and the dataset settings of the run"
            )


def forgetting_of(right: Iterable[np.ndarray], number: int) -> Forgetting:
    """Count the forgetting events of `number` things, right [n] in each epoch: 1, 0 or NaN."""
    events = np.zeros(number, np.int64)
    learned, before = (np.zeros(number, bool) for _ in range(2))
    for row in right:
        events += before & (row == 0)
        learned |= row == 1
        before = np.where(np.isnan(row), before, row == 1)
    return Forgetting(events, learned)


def differ(labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return a mask [M] of the examples whose labels [M] or [M, C] are not the same."""
    return (labels != others).reshape(len(labels), -1).any(1)


def fraction(part: int, whole: int) -> float:
    """Return part / whole, NaN for 0 / 0."""
    return part / whole if whole else math.nan
