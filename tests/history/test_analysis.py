"""Views of the difficulty store: by hand, against slow loops, with epochs that are missing."""

import math
from itertools import pairwise

import numpy as np
import pytest

from trainer.core.errors import DataError
from trainer.history.analysis import History, Suspects

NAN = math.nan


def held(labels=None, ids=None, true_labels=None, threshold=None, **fields) -> History:
    """A history of small arrays [epochs, M]; `correct` is uint8, `prediction` int16."""
    kinds = {"correct": np.uint8, "prediction": np.int16}
    arrays = {n: np.array(v).astype(kinds.get(n, np.float16)) for n, v in fields.items()}
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
    return held(
        rng.integers(0, 4, size),
        np.union1d(ids, [5])[::-1],
        confidence=p,
        correct=correct,
        logit_margin=margin,
        loss=-np.log(p),
    )


def test_the_data_map_by_hand() -> None:
    """p_y 0.5, 1, 0 → mean ½, deviation √(1/6); seen once → deviation 0; never → NaN."""
    read = held(
        confidence=[[0.5, NAN, NAN], [1, 0.25, NAN], [0, NAN, NAN]],
        correct=[[1, 255, 255], [1, 0, 255], [0, 255, 255]],
    )
    made = read.data_map()
    np.testing.assert_allclose(made.mean, [0.5, 0.25, NAN])
    np.testing.assert_allclose(made.spread, [math.sqrt(1 / 6), 0, NAN])
    np.testing.assert_allclose(made.correctness, [2 / 3, 0, NAN])


def test_the_data_map_and_aum_are_numpys() -> None:
    read = noisy()
    made = read.data_map()
    seen = read.ids != 5
    p, margins = (read[name].astype(np.float64)[:, seen] for name in ("confidence", "logit_margin"))
    np.testing.assert_allclose(made.mean[seen], np.nanmean(p, 0))
    np.testing.assert_allclose(made.spread[seen], np.nanstd(p, 0), atol=1e-7)
    np.testing.assert_allclose(read.aum()[seen], np.nanmean(margins, 0))
    for values in (made.mean, made.spread, made.correctness, read.aum()):
        assert np.isnan(values[~seen]).all()


def test_forgetting_by_hand() -> None:
    """Right, wrong, right, wrong: two events. An epoch without a record changes nothing."""
    read = held(
        correct=[
            [1, 0, 1, 255, 255],
            [0, 0, 255, 1, 255],
            [1, 0, 0, 255, 255],
            [0, 0, 255, 1, 255],
        ]
    )
    made = read.forgetting()
    assert made.events.tolist() == [2, 0, 1, 0, 0]
    assert made.learned.tolist() == [True, False, True, True, False]


def test_forgetting_against_a_loop() -> None:
    read = noisy()
    made = read.forgetting()
    for place, column in enumerate(read["correct"].T):
        records = [int(value) for value in column if value != 255]
        steps = pairwise(records)
        assert made.events[place] == sum(a == 1 and b == 0 for a, b in steps)
        assert made.learned[place] == (1 in records)


def test_the_hardest_are_by_the_mean_loss_of_the_last_epochs() -> None:
    """Example 0 was hard, example 3 is; example 2 was not seen lately, example 4 never."""
    read = held(
        ids=[4, 3, 2, 1, 0],
        loss=[[9, 1, 9, 0, NAN], [1, 2, NAN, 5, NAN], [1, 3, NAN, NAN, NAN]],
    )
    assert read.hardest(3, last=2).tolist() == [3, 1, 0]
    assert read.hardest(9, last=2).tolist() == [3, 1, 0]
    assert read.hardest(9, last=1).tolist() == [1, 0]
    assert read.hardest(2, last=99).tolist() == [2, 0]
    np.testing.assert_allclose(read.mean("loss", 2), [NAN, 5, NAN, 2.5, 1])


def test_infinite_losses_are_the_hardest() -> None:
    assert held(loss=[[1, np.inf, 3], [np.inf, np.inf, 3]]).hardest(2).tolist() == [0, 1]


def test_the_latest_record() -> None:
    read = held(prediction=[[3, 1, -1], [-1, 2, -1]])
    np.testing.assert_array_equal(read.latest("prediction"), [3, 2, np.nan])


def test_places_are_those_of_the_ids() -> None:
    read = held(ids=[7, 2, 9, 0], loss=np.zeros((1, 10)))
    assert read.positions_of(np.array([0, 7, 9])).tolist() == [3, 0, 2]


def test_suspects_by_hand() -> None:
    """AUM 2, −3, −1, 0.5 and labels 1 and 3 wrong: two flagged, one of them rightly."""
    read = held(
        labels=[0, 1, 1, 0],
        true_labels=[0, 0, 1, 1],
        logit_margin=[[1, -2, 1, 0], [3, -4, -3, 1]],
    )
    made = read.suspects()
    assert made.ids.tolist() == [1, 2, 3, 0]
    assert made.values.tolist() == [-3, -1, 0.5, 2]
    assert (made.cutoff, made.flagged, made.errors) == (0, 2, 2)
    assert made.precision_recall(made.flagged) == (0.5, 0.5)
    assert made.precision_recall(3) == (2 / 3, 1)
    assert read.suspects(cutoff=0.5).flagged == 3
    assert read.suspects(cutoff=-2).flagged == 1


def test_suspects_by_loss() -> None:
    """Two classes: a mean loss of at least ln 2 is worse than a guess."""
    read = held(labels=[0, 1, 1], loss=[[0.5, 1, NAN], [0.5, 0.5, 0.1]])
    made = read.suspects("loss")
    assert made.ids.tolist() == [1, 0, 2]
    assert made.cutoff == pytest.approx(math.log(2))
    assert made.flagged == 1
    assert made.wrong is None
    assert all(math.isnan(value) for value in made.precision_recall(1))


def test_the_cut_off_is_a_percentile_of_the_threshold_class() -> None:
    """101 of them with AUM −100, ..., 0: 99 % lie at or below −1. They are no suspects."""
    margins = [*range(-100, 1), -2, -0.5, 5]
    labels = [*[2] * 101, 0, 1, 0]
    read = held(labels, threshold=range(101), logit_margin=[margins])
    made = read.suspects()
    assert made.cutoff == pytest.approx(-1)
    assert made.ids.tolist() == [101, 102, 103]
    assert made.flagged == 1
    by_loss = held(labels, threshold=range(101), loss=[[-m for m in margins]])
    assert by_loss.suspects("loss").cutoff == pytest.approx(1)
    assert by_loss.hardest(9).tolist() == [101, 102, 103]


def test_a_threshold_class_never_seen_gives_no_cut_off() -> None:
    read = held([0, 2, 1], threshold=[1], logit_margin=[[1, NAN, -1]])
    assert read.suspects().cutoff == 0


def test_precision_and_recall_of_nothing() -> None:
    nothing = Suspects(np.arange(2), np.zeros(2), 0.0, 0, np.array([False, False]))
    assert all(math.isnan(value) for value in nothing.precision_recall(0))
    assert nothing.precision_recall(2)[0] == 0


def test_without_a_record() -> None:
    """No epoch at all, and epochs in which everything was mixed."""
    for epochs in (0, 3):
        read = held(
            [0, 1],
            **{name: np.full((epochs, 2), NAN) for name in ("confidence", "loss", "logit_margin")},
            correct=np.full((epochs, 2), 255),
        )
        assert read.epochs == epochs
        assert not len(read.hardest(5))
        assert not len(read.suspects().ids)
        assert np.isnan(read.data_map().mean).all()
        assert not read.forgetting().learned.any()


def test_what_is_not_recorded_is_a_data_error() -> None:
    read = held(loss=[[1.0]])
    with pytest.raises(DataError, match="has no confidence"):
        read.data_map()
    with pytest.raises(DataError, match="a class for each image"):
        read.suspects("loss")
    with pytest.raises(DataError, match="a class for each image"):
        held([0.5], loss=[[1.0]]).suspects("loss")


def test_a_store_that_does_not_fit_is_refused() -> None:
    read = held([0, 1, 1, 0], ids=[0, 2], loss=np.zeros((1, 4)))
    labels = np.array([0, 1, 1, 0])
    read.check_split(np.array([0, 2]), labels)
    read.check_split(np.array([0, 2]), np.array([0, 0, 1, 1]))  # of no training example
    for ids, others in (([0, 1, 2], labels), ([0, 2], labels[:3])):
        with pytest.raises(DataError, match="records 2 of 4 examples"):
            read.check_split(np.array(ids), others)
    for ids, others in (([0, 1], labels), ([0, 2], 1 - labels)):
        with pytest.raises(DataError, match="other examples or labels"):
            read.check_split(np.array(ids), others)
