"""Scores for pruning: by hand, against slow loops, with missing records."""

import math
from collections import Counter

import numpy as np
import pytest

from trainer.core.errors import DataError
from trainer.history.analysis import History
from trainer.history.pruning import covering, pruning_scores

NAN = math.nan
DTYPES = {"correct": np.uint8}


def history_of(**fields) -> History:
    arrays = {n: np.array(v).astype(DTYPES.get(n, np.float16)) for n, v in fields.items()}
    return History(np.arange(next(iter(arrays.values())).shape[1]), arrays)


def noisy(epochs: int = 9, size: int = 30) -> History:
    """Random records, some of them missing, and ids that are not in order."""
    rng = np.random.default_rng(0)
    p = np.where(rng.random((epochs, size)) < 0.1, NAN, rng.random((epochs, size)))
    return History(rng.permutation(size)[:20], {"confidence": p.astype(np.float16)})


def test_el2n_is_that_of_the_last_epoch_read():
    """Paul et al. score early in training, where wrong labels are not yet memorised."""
    history = history_of(el2n=[[1.0, 0.5, NAN], [0.25, NAN, NAN], [0.0, 1.0, NAN]])
    np.testing.assert_array_equal(pruning_scores(history, "el2n", epochs=2), [0.25, 0.5, NAN])
    np.testing.assert_array_equal(pruning_scores(history, "el2n"), [0.0, 1.0, NAN])


def test_what_was_never_learned_is_above_all_that_was_forgotten():
    """Toneva et al. count it as forgotten infinitely often, not as never forgotten."""
    correct = [[1, 1, 0, 255], [0, 1, 0, 255], [1, 1, 0, 255], [0, 1, 0, 255]]
    history = history_of(correct=correct)
    np.testing.assert_array_equal(pruning_scores(history, "forgetting"), [2, 0, 4, NAN])
    np.testing.assert_array_equal(pruning_scores(history, "forgetting", epochs=2), [1, 0, 2, NAN])


def test_a_low_margin_is_a_high_score():
    history = history_of(logit_margin=[[4.0, -2.0], [2.0, -4.0]])
    np.testing.assert_array_equal(pruning_scores(history, "aum"), [-3.0, 3.0])


def test_uncertainty_by_hand():
    """Windows of 2 over 0, 1, 1 and over 0.5, 0.5, 0.5; √½ is the deviation of 0 and 1."""
    history = history_of(confidence=[[0.0, 0.5], [1.0, 0.5], [1.0, 0.5]])
    scores = pruning_scores(history, "dyn_unc", window=2)
    np.testing.assert_allclose(scores, [math.sqrt(0.5) / 2, 0.0])
    scores = pruning_scores(history, "dual", window=2)
    np.testing.assert_allclose(scores, [(1 - 0.5) * math.sqrt(0.5) / 2, 0.0])


@pytest.mark.parametrize("by", ["dyn_unc", "dual"])
def test_uncertainty_against_a_slow_loop(by):
    """Each window's own mean weighs its deviation, not the mean over all epochs."""
    history = noisy()
    scores = pruning_scores(history, by, epochs=7, window=4)
    for score, row in zip(scores, history["confidence"].astype(np.float64)[:7].T, strict=True):
        parts = [row[k : k + 4] for k in range(4)]
        parts = [w for w in parts if not np.isnan(w).any()]
        weights = [1.0 if by == "dyn_unc" else 1 - sum(w) / 4 for w in parts]
        deviations = [math.sqrt(sum((w - sum(w) / 4) ** 2) / 3) for w in parts]
        values = [a * b for a, b in zip(weights, deviations, strict=True)]
        np.testing.assert_allclose(score, sum(values) / len(values) if values else NAN)


def test_missing_records_are_named():
    history = noisy()
    with pytest.raises(DataError, match="has no el2n"):
        pruning_scores(history, "el2n")
    with pytest.raises(DataError, match="windows of 10 epochs need as many, there are 9"):
        pruning_scores(history, "dual")
    with pytest.raises(DataError, match="has 9 epochs, not 12"):
        pruning_scores(history, "dual", epochs=12)


def test_a_covering_sample_by_hand():
    """Strata of 2, 8, 0 and 20 examples, 18 to draw: 2, then 8 of 8 to 16 left, then 8 more."""
    scores = np.repeat([0.1, 0.3, 0.9], [2, 8, 20])
    scores[0], scores[-1] = 0.0, 1.0
    kept = covering(scores, 18, 4, np.random.default_rng(0))
    assert len(set(kept.tolist())) == 18
    assert Counter((scores[kept] * 4).astype(int).clip(max=3).tolist()) == {0: 2, 1: 8, 3: 8}


@pytest.mark.parametrize("number", [1, 7, 50, 99, 100])
@pytest.mark.parametrize("strata", [1, 3, 50])
def test_a_covering_sample_has_the_number_asked_for(number, strata):
    rng = np.random.default_rng(1)
    for scores in (rng.exponential(size=100), np.zeros(100), rng.integers(0, 3, 100) * 1.0):
        kept = covering(scores, number, strata, rng)
        assert len(set(kept.tolist())) == len(kept) == number
