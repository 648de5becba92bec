"""What the records of a run show: which examples are hard, forgotten, or labelled wrongly.

Arrays [n] follow the order of `History.ids`. They are NaN where an example was never seen. The
records are read one epoch at a time, so that the memory needed does not grow with the epochs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trainer.core.errors import DataError

UNSEEN = {"float16": math.nan, "uint8": 255, "int16": -1}  # what stands for no record, by type
PERCENTILE = 99  # of the threshold class's AUM: the cut-off of Pleiss et al. 2020

By = Literal["aum", "loss"]


@dataclass(frozen=True)
class DataMap:
    """Training dynamics of each example (Swayamdipta et al. 2020, sec. 2, arXiv:2009.10795)."""

    mean: np.ndarray  # [n] of p_y over the epochs: "confidence"
    spread: np.ndarray  # [n] its deviation, divided by the epochs and not one less: "variability"
    correctness: np.ndarray  # [n] part of the epochs in which the prediction was right


@dataclass(frozen=True)
class Forgetting:
    """Forgetting events (Toneva et al. 2019, sec. 3, https://arxiv.org/abs/1812.05159)."""

    events: np.ndarray  # [n] times it was right in a record and wrong in the next
    learned: np.ndarray  # [n] whether it was ever right; the paper counts the others as forgotten


@dataclass(frozen=True)
class Suspects:
    """Examples by how likely their label is wrong, the most suspect first."""

    ids: np.ndarray  # [m] dataset ids
    values: np.ndarray  # [m] the AUM (ascending) or the mean loss (descending)
    cutoff: float  # of the values
    flagged: int  # as many of them, from the first on, lie beyond the cut-off
    wrong: np.ndarray | None  # [m] whether the label is wrong, where the true ones are known

    @property
    def errors(self) -> int:
        """Wrong labels among all of them; 0 where the true ones are not known."""
        return 0 if self.wrong is None else int(self.wrong.sum())

    def precision_recall(self, number: int) -> tuple[float, float]:
        """Precision and recall when the first `number` are taken for wrong; NaN for 0 / 0."""
        if self.wrong is None:
            return math.nan, math.nan
        hits = int(self.wrong[:number].sum())
        return ratio(hits, min(number, len(self.ids))), ratio(hits, self.errors)


@dataclass(frozen=True)
class History:
    """The difficulty store of a run, read: each field an array [epochs, M], mapped from its file.

    M is the size of the source, and a dataset id is a place in it; n are trained on.
    """

    ids: np.ndarray  # [n] dataset ids of the training split
    fields: dict[str, np.ndarray]
    labels: np.ndarray | None = None  # [M] by dataset id, as they were trained on; no masks
    true_labels: np.ndarray | None = None  # [M] where the training labels are others
    threshold: np.ndarray | None = None  # [t] ids of the threshold class

    @property
    def epochs(self) -> int:
        """Epochs on record."""
        return len(next(iter(self.fields.values())))

    @property
    def size(self) -> int:
        """M."""
        return next(iter(self.fields.values())).shape[1]

    def __getitem__(self, field: str) -> np.ndarray:
        """The records of the training split, [epochs, n], NaN, 255 or −1 where not seen."""
        return self.field(field)[:, self.ids]

    def field(self, name: str) -> np.ndarray:
        """The records [epochs, M] of a field. Raises DataError where it is not recorded."""
        if name not in self.fields:
            raise DataError(f"the difficulty store of this task has no {name}")
        return self.fields[name]

    def rows(self, field: str, last: int | None = None) -> Iterator[np.ndarray]:
        """The records [n] of each epoch, or of the `last` ones, as float32 with NaN for unseen."""
        records = self.field(field)
        unseen = UNSEEN[records.dtype.name]
        for row in records[-last:] if last else records:
            values = np.asarray(row)[self.ids].astype(np.float32)
            values[values == unseen] = np.nan
            yield values

    def mean(self, field: str, last: int | None = None) -> np.ndarray:
        """[n] mean over the epochs, or over the `last` ones, in which an example was seen."""
        return self.moments(field, last)[0]

    def moments(self, field: str, last: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """[n] mean and deviation over the epochs."""
        total, square, seen = np.zeros((3, len(self.ids)))
        for row in self.rows(field, last):
            known = ~np.isnan(row)
            values = np.where(known, row, 0).astype(np.float64)
            total += values
            square += values**2
            seen += known
        with np.errstate(invalid="ignore"):  # 0 / 0 of the unseen, ∞ − ∞ of infinite losses
            mean = total / seen
            return mean, np.sqrt(np.maximum(square / seen - mean**2, 0))

    def latest(self, field: str) -> np.ndarray:
        """[n] each example's latest record."""
        held = np.full(len(self.ids), np.nan, np.float32)
        for row in self.rows(field):
            np.copyto(held, row, where=~np.isnan(row))
        return held

    def data_map(self) -> DataMap:
        """Mean and spread of p_y, and correctness, over the epochs."""
        return DataMap(*self.moments("confidence"), self.mean("correct"))

    def forgetting(self) -> Forgetting:
        """How often each example was forgotten between one record of it and the next."""
        events = np.zeros(len(self.ids), np.int64)
        learned, before = (np.zeros(len(self.ids), bool) for _ in range(2))
        for row in self.rows("correct"):
            events += before & (row == 0)
            learned |= row == 1
            before = np.where(np.isnan(row), before, row == 1)
        return Forgetting(events, learned)

    def aum(self) -> np.ndarray:
        """[n] area under the margin: the mean over the epochs of z_y − the largest other logit.

        Pleiss et al. 2020, eq. 2, https://arxiv.org/abs/2001.10528. They stop at the first drop of
        the learning rate: later, wrong labels are learnt by heart.
        """
        return self.mean("logit_margin")

    def hardest(self, number: int, last: int = 5) -> np.ndarray:
        """Dataset ids of the examples with the highest mean loss in the `last` epochs.

        The threshold class is left out: its labels are wrong on purpose.
        """
        return self.ids[self.ranked(self.mean("loss", last))[:number]]

    def suspects(self, by: By = "aum", cutoff: float | None = None) -> Suspects:
        """Examples ranked by AUM or mean loss as suspects of a wrong label.

        Those at the cut-off or beyond are flagged. Where none is given it is such that 99 % of the
        threshold class are beyond it; without one, an AUM of 0 (another class was ahead) or a mean
        loss of log C (worse than a guess).
        """
        if self.labels is None or self.labels.dtype.kind not in "iu":
            raise DataError("suspected label errors need a class for each image")
        sign = -1.0 if by == "aum" else 1.0  # of the score, higher for more suspect
        scores = sign * (self.aum() if by == "aum" else self.mean("loss"))
        limit = self.cutoff(scores, by) if cutoff is None else sign * cutoff
        order = self.ranked(scores)
        ids = self.ids[order]
        wrong = None if self.true_labels is None else self.labels[ids] != self.true_labels[ids]
        flagged = int((scores[order] >= limit).sum())
        return Suspects(ids, sign * scores[order], sign * limit + 0.0, flagged, wrong)  # no −0

    def cutoff(self, scores: np.ndarray, by: By) -> float:
        """The score [n] from which on a label is suspect."""
        marked = scores[~self.ordinary() & ~np.isnan(scores)]
        if len(marked):
            return float(np.percentile(marked, 100 - PERCENTILE))
        return 0.0 if by == "aum" or self.labels is None else math.log(self.labels.max() + 1)

    def ordinary(self) -> np.ndarray:
        """[n] whether an example is not of the threshold class."""
        return np.isin(self.ids, [] if self.threshold is None else self.threshold, invert=True)

    def ranked(self, scores: np.ndarray) -> np.ndarray:
        """Places of the ordinary examples that were seen, by score [n], highest first."""
        order = np.argsort(-scores, kind="stable")
        return order[(self.ordinary() & ~np.isnan(scores))[order]]

    def places(self, ids: np.ndarray) -> np.ndarray:
        """Where dataset ids [k] stand in `self.ids`."""
        order = np.argsort(self.ids, kind="stable")
        return order[np.searchsorted(self.ids, ids, sorter=order)]

    def check(self, ids: np.ndarray, labels: np.ndarray) -> None:
        """Raise DataError unless the store is of the training split `ids` with labels [M, ...]."""
        ours, theirs = (len(self.ids), self.size), (len(ids), len(labels))
        if ours != theirs:
            raise DataError(
                "the difficulty store is of {} of {} examples, the training split is {} of {}; "
                "is it the data set of the run?".format(*ours, *theirs)
            )
        same = self.labels is None or np.array_equal(self.labels[ids], labels[ids])
        if not (same and np.array_equal(self.ids, ids)):
            raise DataError(
                "the difficulty store is of other examples or labels than the data set; are seed "
                "and dataset those of the run?"
            )


def ratio(part: int, whole: int) -> float:
    """Part of the whole, NaN for 0 / 0."""
    return part / whole if whole else math.nan
