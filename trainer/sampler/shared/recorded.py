"""The difficulty store of another run, for samplers that choose by it."""

import numpy as np

from trainer import history
from trainer.core.errors import DataError
from trainer.dataset import Split
from trainer.history.analysis import History


def record_of(reference: str, split: Split) -> History:
    """The records of a run on the same examples. Raises DataError for none, or of other data."""
    try:
        record = history.open(reference)
    except DataError as error:
        raise DataError(f"sampler.reference={reference}: {error}") from error
    labels = split.labels.numpy()
    if record.size != len(labels) or not same_labels(record, split.ids.numpy(), labels):
        raise DataError(
            f"sampler.reference={reference} was trained on other examples or labels; use "
            "the seed and the dataset settings of that run"
        )
    return record


def same_labels(record: History, ids: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the record agrees with labels [M] on the examples that both runs train on."""
    both = np.intersect1d(ids, record.ids)
    return record.labels is None or np.array_equal(record.labels[both], labels[both])
