"""Analysis of the difficulty store: by hand, against slow loops, with missing records."""

import math
from itertools import pairwise

import numpy as np
import pytest

from trainer.core.errors import DataError
from trainer.history.analysis import History, Suspects

NAN = math.nan


def history_of(labels=None, ids=None, true_labels=None, threshold=None, **fields) -> History:
    """A history of small arrays [epochs, M]; `correct` is uint8, `prediction` int16."""
    dtypes = {"correct": np.uint8, "prediction": np.int16}
    arrays = {n: np.array(v).astype(dtypes.get(n, np.float16)) for n, v in fields.items()}
    size = next(iter(arrays.values())).shape[1]
    ids = np.arange(size) if ids is None else np.array(ids)
    labels = None if labels is None else np.array(labels)
    true_labels = None if true_labels is None else np.array(true_labels)
    threshold = None if threshold is None else np.array(threshold)
    return History(ids, arrays, labels, true_labels, threshold)


def noisy(epochs: int = 7, size: int = 40, seed: int = 0) -> History:
    """Random records, a third of them missing, one example never seen, ids not in order."""
    rng = np.random.default_rng(seed)
    unseen = rng.random((epochs, size)) < 0.3
    unseen[:, 5] = True
    p = np.where(unseen, np.nan, rng.random((epochs, size)))
    correct = np.where(unseen, 255, rng.random((epochs, size)) < 0.6)
    margin = np.where(unseen, np.nan, rng.normal(size=(epochs, size)) * 5)
    ids = rng.permutation(size)[:30]
    return history_of(
        rng.integers(0, 4, size),
        np.union1d(ids, [5])[::-1],
        confidence=p,
        correct=correct,
        logit_margin=margin,
        loss=-np.log(p),
    )


def test_the_data_map_by_hand() -> None:
    """p_y 0.5, 1, 0 → mean ½, deviation √(1/6); seen once → deviation 0; never → NaN."""
    history = history_of(
        confidence=[[0.5, NAN, NAN], [1, 0.25, NAN], [0, NAN, NAN]],
        correct=[[1, 255, 255], [1, 0, 255], [0, 255, 255]],
    )
    result = history.data_map()
    np.testing.assert_allclose(result.mean, [0.5, 0.25, NAN])
    np.testing.assert_allclose(result.spread, [math.sqrt(1 / 6), 0, NAN])
    np.testing.assert_allclose(result.correctness, [2 / 3, 0, NAN])


def test_the_data_map_and_aum_against_numpy() -> None:
    history = noisy()
    result = history.data_map()
    seen = history.ids != 5
    p, margins = (
        history[name].astype(np.float64)[:, seen] for name in ("confidence", "logit_margin")
    )
    np.testing.assert_allclose(result.mean[seen], np.nanmean(p, 0))
    np.testing.assert_allclose(result.spread[seen], np.nanstd(p, 0), atol=1e-7)
    np.testing.assert_allclose(history.aum()[seen], np.nanmean(margins, 0))
    for values in (result.mean, result.spread, result.correctness, history.aum()):
        assert np.isnan(values[~seen]).all()


def test_forgetting_by_hand() -> None:
    """Right, wrong, right, wrong: two events. An epoch without a record changes nothing."""
    history = history_of(
        correct=[
            [1, 0, 1, 255, 255],
            [0, 0, 255, 1, 255],
            [1, 0, 0, 255, 255],
            [0, 0, 255, 1, 255],
        ]
    )
    result = history.forgetting()
    assert result.events.tolist() == [2, 0, 1, 0, 0]
    assert result.learned.tolist() == [True, False, True, True, False]


def test_forgetting_against_a_loop() -> None:
    history = noisy()
    result = history.forgetting()
    for position, column in enumerate(history["correct"].T):
        records = [int(value) for value in column if value != 255]
        steps = pairwise(records)
        assert result.events[position] == sum(a == 1 and b == 0 for a, b in steps)
        assert result.learned[position] == (1 in records)


def test_the_hardest_have_the_highest_mean_loss_of_the_last_epochs() -> None:
    """Example 0 was hard, 3 still is; 2 has no recent record, 4 none at all."""
    history = history_of(
        ids=[4, 3, 2, 1, 0],
        loss=[[9, 1, 9, 0, NAN], [1, 2, NAN, 5, NAN], [1, 3, NAN, NAN, NAN]],
    )
    assert history.hardest(3, last=2).tolist() == [3, 1, 0]
    assert history.hardest(9, last=2).tolist() == [3, 1, 0]
    assert history.hardest(9, last=1).tolist() == [1, 0]
    assert history.hardest(2, last=99).tolist() == [2, 0]
    np.testing.assert_allclose(history.mean("loss", 2), [NAN, 5, NAN, 2.5, 1])


def test_infinite_losses_are_the_hardest() -> None:
    assert history_of(loss=[[1, np.inf, 3], [np.inf, np.inf, 3]]).hardest(2).tolist() == [0, 1]


def test_latest_skips_missing_records() -> None:
    history = history_of(prediction=[[3, 1, -1], [-1, 2, -1]])
    np.testing.assert_array_equal(history.latest("prediction"), [3, 2, np.nan])


def test_positions_of_ids() -> None:
    history = history_of(ids=[7, 2, 9, 0], loss=np.zeros((1, 10)))
    assert history.positions_of(np.array([0, 7, 9])).tolist() == [3, 0, 2]


def test_suspects_by_hand() -> None:
    """AUM 2, −3, −1, 0.5; the labels of 1 and 3 are wrong: two flagged, one correctly."""
    history = history_of(
        labels=[0, 1, 1, 0],
        true_labels=[0, 0, 1, 1],
        logit_margin=[[1, -2, 1, 0], [3, -4, -3, 1]],
    )
    result = history.suspects()
    assert result.ids.tolist() == [1, 2, 3, 0]
    assert result.values.tolist() == [-3, -1, 0.5, 2]
    assert (result.cutoff, result.flagged, result.errors) == (0, 2, 2)
    assert result.precision_recall(result.flagged) == (0.5, 0.5)
    assert result.precision_recall(3) == (2 / 3, 1)
    assert history.suspects(cutoff=0.5).flagged == 3
    assert history.suspects(cutoff=-2).flagged == 1


def test_suspects_by_loss() -> None:
    """Two classes: a mean loss of at least ln 2 is worse than a guess."""
    history = history_of(labels=[0, 1, 1], loss=[[0.5, 1, NAN], [0.5, 0.5, 0.1]])
    result = history.suspects("loss")
    assert result.ids.tolist() == [1, 0, 2]
    assert result.cutoff == pytest.approx(math.log(2))
    assert result.flagged == 1
    assert result.wrong is None
    assert all(math.isnan(value) for value in result.precision_recall(1))


def test_the_cutoff_is_a_percentile_of_the_threshold_class() -> None:
    """It has 101 examples with AUM −100 to 0: 99 % are at or below −1. None is a suspect."""
    margins = [*range(-100, 1), -2, -0.5, 5]
    labels = [*[2] * 101, 0, 1, 0]
    history = history_of(labels, threshold=range(101), logit_margin=[margins])
    result = history.suspects()
    assert result.cutoff == pytest.approx(-1)
    assert result.ids.tolist() == [101, 102, 103]
    assert result.flagged == 1
    by_loss = history_of(labels, threshold=range(101), loss=[[-m for m in margins]])
    assert by_loss.suspects("loss").cutoff == pytest.approx(1)
    assert by_loss.hardest(9).tolist() == [101, 102, 103]


def test_an_unseen_threshold_class_sets_no_cutoff() -> None:
    history = history_of([0, 2, 1], threshold=[1], logit_margin=[[1, NAN, -1]])
    assert history.suspects().cutoff == 0


def test_precision_and_recall_without_wrong_labels() -> None:
    nothing = Suspects(np.arange(2), np.zeros(2), 0.0, 0, np.array([False, False]))
    assert all(math.isnan(value) for value in nothing.precision_recall(0))
    assert nothing.precision_recall(2)[0] == 0


def test_a_history_without_records() -> None:
    """No epoch at all, and epochs in which everything was mixed."""
    for epochs in (0, 3):
        history = history_of(
            [0, 1],
            **{name: np.full((epochs, 2), NAN) for name in ("confidence", "loss", "logit_margin")},
            correct=np.full((epochs, 2), 255),
        )
        assert history.epochs == epochs
        assert not len(history.hardest(5))
        assert not len(history.suspects().ids)
        assert np.isnan(history.data_map().mean).all()
        assert not history.forgetting().learned.any()


def test_a_missing_field_is_a_data_error() -> None:
    history = history_of(loss=[[1.0]])
    with pytest.raises(DataError, match="no confidence, only loss"):
        history.data_map()
    with pytest.raises(DataError, match="a class for each image"):
        history.suspects("loss")
    with pytest.raises(DataError, match="a class for each image"):
        history_of([0.5], loss=[[1.0]]).suspects("loss")


def test_a_store_of_another_split_is_refused() -> None:
    history = history_of([0, 1, 1, 0], ids=[0, 2], loss=np.zeros((1, 4)))
    labels = np.array([0, 1, 1, 0])
    history.check_split(np.array([0, 2]), labels)
    history.check_split(np.array([0, 2]), np.array([0, 0, 1, 1]))  # same within the split
    for ids, others in (([0, 1, 2], labels), ([0, 2], labels[:3])):
        with pytest.raises(DataError, match=r"2 of 4 examples.*dataset settings"):
            history.check_split(np.array(ids), others)
    for ids, others in (([0, 1], labels), ([0, 2], 1 - labels)):
        with pytest.raises(DataError, match="seed and the dataset settings"):
            history.check_split(np.array(ids), others)
