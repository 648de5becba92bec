"""Windows of epochs, and probabilities implied by the records, against full distributions."""

import numpy as np
import pytest

from trainer.core.errors import DataError
from trainer.history import dynamics
from trainer.history.analysis import History
from trainer.history.confident_joint import estimate
from trainer.history.dynamics import expected_errors, mean_probabilities, score, window

CLASSES = 3


def history_of(logits: np.ndarray, labels: np.ndarray, ids: np.ndarray | None = None) -> History:
    """The store of a run with logits [E, M, C]."""
    at = np.arange(len(labels))
    p = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    other = logits.copy()
    other[:, at, labels] = -np.inf
    fields = {
        "loss": -np.log(p[:, at, labels]).astype(np.float16),
        "confidence": p[:, at, labels].astype(np.float16),
        "logit_margin": (logits[:, at, labels] - other.max(2)).astype(np.float16),
        "prediction": logits.argmax(2).astype(np.int16),
    }
    return History(at if ids is None else ids, fields, labels)


@pytest.fixture(scope="module")
def example() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 40)
    return rng.normal(0, 2, (4, 40, CLASSES)) + 2 * np.eye(CLASSES)[labels], labels


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("best", "part", "epochs"),
    [
        (12, (0.5, 1.0), range(6, 12)),
        (11, (0.5, 1.0), range(5, 11)),
        (12, (0.0, 1.0), range(12)),
        (10, (0.3, 0.7), range(3, 7)),
        (1, (0.5, 1.0), range(1)),
        (3, (0.0, 0.1), range(1)),
        (12, (0.99, 1.0), range(11, 12)),
    ],
)
def test_windows_by_hand(best: int, part: tuple[float, float], epochs: range) -> None:
    records = np.arange(12)[:, None].astype(np.float16)
    found = window(History(np.arange(1), {"loss": records}), best, part)
    assert found.fields["loss"][:, 0].tolist() == list(epochs)


def test_scores_against_the_full_distribution(example: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = example
    history, at = history_of(logits, labels), np.arange(40)
    p = softmax(logits)
    other = p.copy()
    other[:, at, labels] = 0
    margin = (p[:, at, labels] - other.max(2)).mean(0)
    np.testing.assert_allclose(score(history, "margin"), margin, atol=2e-3)
    np.testing.assert_allclose(
        score(history, "self_confidence"), p[:, at, labels].mean(0), atol=1e-3
    )
    np.testing.assert_allclose(score(history, "aum"), history.aum())


def test_implied_probabilities_of_three_classes(example: tuple[np.ndarray, np.ndarray]) -> None:
    """Where the prediction is wrong, p is known whole; else the others share what is left."""
    logits, labels = example
    one = history_of(logits[:1], labels)
    p, found = softmax(logits[0]), mean_probabilities([one], np.arange(40), CLASSES)
    wrong = logits[0].argmax(1) != labels
    assert 5 < wrong.sum() < 30
    np.testing.assert_allclose(found[wrong], p[wrong], atol=2e-3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)
    rest = (1 - p[np.arange(40), labels])[~wrong] / 2
    others = np.sort(found[~wrong], axis=1)[:, :2]
    np.testing.assert_allclose(others, np.stack([rest, rest], 1), atol=1e-3)


def test_several_runs_count_where_they_have_seen(example: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = example
    a, b = history_of(logits[:1], labels), history_of(logits[1:2], labels)
    b.fields["prediction"][:, 7] = -1
    b.fields["confidence"][:, 7] = np.nan
    ids = np.arange(40)
    both = mean_probabilities([a, b], ids, CLASSES)
    parts = [mean_probabilities([each], ids, CLASSES) for each in (a, b)]
    known = ids != 7
    np.testing.assert_allclose(both[known], (parts[0] + parts[1])[known] / 2)
    np.testing.assert_allclose(both[7], parts[0][7])
    assert np.isnan(parts[1][7]).all()


def test_a_probability_too_small_for_float16(example: tuple[np.ndarray, np.ndarray]) -> None:
    history = history_of(np.array([[[0.0, 40.0, 1.0]]]), np.array([0]))
    assert history.fields["confidence"][0, 0] == 0
    np.testing.assert_allclose(score(history, "margin"), [-1], atol=1e-6)


def test_predictions_of_no_class_do_not_count(example: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = example
    history = history_of(logits, labels)
    history.fields["prediction"][:, 3] = 99
    assert np.isnan(mean_probabilities([history], np.array([3]), CLASSES)).all()


def test_the_expected_errors_in_parts(
    example: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, labels = example
    history, ids = history_of(logits, labels), np.arange(40)
    whole = estimate(mean_probabilities([history], ids, CLASSES), labels)
    monkeypatch.setattr(dynamics, "AT_ONCE", 30)
    parts = expected_errors([history], ids, CLASSES)
    np.testing.assert_allclose(parts.joint, whole.joint)


def test_several_labels_are_refused() -> None:
    history = History(np.arange(2), {"loss": np.zeros((1, 2))}, np.zeros((2, 3), bool))
    with pytest.raises(DataError, match="one class per image"):
        expected_errors([history], np.arange(2), 3)
