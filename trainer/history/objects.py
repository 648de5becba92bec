"""The objects of a run with boxes: which are hard, and which were learned and then lost again.

The difficulty store has, of each object and epoch, the mean loss and the mean p_y of the anchors or
regions that are matched with it, p_y being the probability of its class. An object counts as
learned in an epoch where p_y is at least 0.5: more than all other classes have together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainer.core.errors import DataError
from trainer.history.analysis import Forgetting, History, forgetting_of

LEARNED = 0.5  # p_y


@dataclass(frozen=True)
class ObjectRecords:
    """The n labelled boxes of the training split, crowds left out; NaN where never recorded."""

    ids: np.ndarray  # [n] dataset ids of their images
    box: np.ndarray  # [n] place among the image's boxes
    kind: np.ndarray  # [n] class, from 1
    edges: np.ndarray  # [n, 4] x0, y0, x1, y1
    loss: np.ndarray  # [n] mean over the epochs
    last_loss: np.ndarray  # [n] mean over the last epochs
    confidence: np.ndarray  # [n] mean p_y over the epochs
    latest: np.ndarray  # [n] the latest p_y
    forgetting: Forgetting  # of what was learned

    def hardest(self) -> np.ndarray:
        """The places [k] of the objects with a record, those with the highest last loss first."""
        order = np.argsort(-self.last_loss, kind="stable")
        return order[~np.isnan(self.last_loss[order])]

    def forgotten(self) -> np.ndarray:
        """The places [k] of the objects lost after they were learned: the most often lost first.

        Of those lost as often, the ones that are lost by now, then those with the lower mean p_y.
        """
        regained = self.latest >= LEARNED
        order = np.lexsort((self.confidence, regained, -self.forgetting.events))
        return order[self.forgetting.events[order] > 0]

    def lost(self) -> np.ndarray:
        """Which objects [n] were learned once and are not now."""
        return self.forgetting.learned & (self.latest < LEARNED)


def object_records(history: History, last: int = 5) -> ObjectRecords:
    """The records of the objects in the training split; `last_loss` of the `last` epochs.

    Raises DataError for a store without objects.
    """
    boxes = history.boxes
    if boxes is None or not history.objects:
        raise DataError("the difficulty store has no records of objects; train the run again")
    row, box = (boxes[history.ids, :, 0] > 0).nonzero()
    ids = history.ids[row]
    losses, p = (history.objects[name] for name in ("object_loss", "object_confidence"))
    learned = (np.where(np.isnan(each), each, each >= LEARNED) for each in epochs(p, ids, box))
    latest = np.full(len(ids), np.nan, np.float32)
    for each in epochs(p, ids, box):
        np.copyto(latest, each, where=~np.isnan(each))
    return ObjectRecords(
        ids=ids,
        box=box,
        kind=boxes[ids, box, 0].astype(np.int64),
        edges=boxes[ids, box, 1:],
        loss=mean(epochs(losses, ids, box), len(ids)),
        last_loss=mean(epochs(losses[-last:], ids, box), len(ids)),
        confidence=mean(epochs(p, ids, box), len(ids)),
        latest=latest,
        forgetting=forgetting_of(learned, len(ids)),
    )


def epochs(records: np.ndarray, ids: np.ndarray, box: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the records [n] of objects in each epoch, float32, of those [epochs, M, N]."""
    for row in records:
        yield np.asarray(row)[ids, box].astype(np.float32)


def mean(rows: Iterator[np.ndarray], number: int) -> np.ndarray:
    """The mean [n] of the rows [n] that are not NaN; NaN where all are."""
    total, seen = np.zeros((2, number))
    for row in rows:
        known = ~np.isnan(row)
        total += np.where(known, row, 0)
        seen += known
    with np.errstate(invalid="ignore"):  # 0 / 0 if never seen
        return total / seen
