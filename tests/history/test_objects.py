"""Which objects of a run are hard, and which were forgotten, by hand."""

import numpy as np
import pytest

from trainer.core.errors import DataError
from trainer.history.analysis import History
from trainer.history.objects import object_records

NEVER = np.nan


def history_of(loss: list[list[list[float]]], p: list[list[list[float]]]) -> History:
    """A store of three images with two boxes each; the training split has the last and the first.

    The first image has one object and a crowd, the second is of another split.
    """
    boxes = np.zeros((3, 2, 5), np.float32)
    boxes[:, :, 0] = [[2, -1], [1, 1], [3, 1]]
    boxes[:, :, 1] = np.arange(6).reshape(3, 2)
    fields = {"loss": np.zeros((len(loss), 3), np.float16)}
    objects = {"object_loss": np.array(loss), "object_confidence": np.array(p)}
    return History(np.array([2, 0]), fields, objects=objects, boxes=boxes)


HISTORY = history_of(
    [
        [[1, 9], [9, 9], [4, NEVER]],
        [[3, 9], [9, 9], [2, NEVER]],
        [[3, 9], [9, 9], [NEVER, NEVER]],
    ],
    [
        [[0.6, 0], [0, 0], [0.2, NEVER]],
        [[0.4, 0], [0, 0], [0.5, NEVER]],
        [[0.7, 0], [0, 0], [NEVER, NEVER]],
    ],
)


def test_records_of_objects_without_crowds():
    found = object_records(HISTORY, last=2)
    assert found.ids.tolist() == [2, 2, 0]
    assert found.box.tolist() == [0, 1, 0]
    assert found.kind.tolist() == [3, 1, 2]
    assert found.edges[:, 0].tolist() == [4, 5, 0]
    np.testing.assert_allclose(found.loss, [3, np.nan, 7 / 3])
    np.testing.assert_allclose(found.last_loss, [2, np.nan, 3])
    np.testing.assert_allclose(found.confidence, [0.35, np.nan, 1.7 / 3], rtol=1e-6)
    np.testing.assert_allclose(found.latest, [0.5, np.nan, 0.7], rtol=1e-6)
    assert found.hardest().tolist() == [2, 0]
    assert object_records(HISTORY).hardest().tolist() == [0, 2]  # by all three epochs


def test_an_object_is_forgotten_when_its_p_falls_below_a_half():
    found = object_records(HISTORY)
    assert found.forgetting.events.tolist() == [0, 0, 1]
    assert found.forgetting.learned.tolist() == [True, False, True]
    assert found.forgotten().tolist() == [2]
    assert found.lost().tolist() == [False, False, False]


def test_the_most_often_forgotten_are_first_then_those_lost_by_now():
    high, low = [0.9, 0.9], [0.1, 0.2]
    rows = [[high, low, high], [low, high, low], [low, high, [0.9, 0.9]], [low, high, [0.9, 0.1]]]
    found = object_records(history_of(rows, rows))
    assert found.forgetting.events.tolist() == [1, 2, 1]
    assert found.forgotten().tolist() == [1, 2, 0]
    assert found.lost().tolist() == [False, True, True]


def test_a_store_without_objects_is_refused():
    plain = History(np.array([0]), {"loss": np.zeros((1, 1), np.float16)})
    with pytest.raises(DataError, match="no records of objects"):
        object_records(plain)


def test_a_store_of_other_boxes_is_refused():
    assert HISTORY.boxes is not None
    HISTORY.check_split(HISTORY.ids, HISTORY.boxes)
    with pytest.raises(DataError, match="other examples or labels"):
        HISTORY.check_split(HISTORY.ids, HISTORY.boxes + 1)
