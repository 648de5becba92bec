"""Whether suspects with several labels an example are judged by what the model has learned."""

import numpy as np
import pytest

from trainer.history.analysis import History
from trainer.history.evidence import evidence_of

SETS = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], bool)


def history_of(correct: list[list[int]]) -> History:
    """Two epochs of four examples, the first of which is suspect."""
    margins = np.array([[-1.0, 1, 1, 1]] * 2, np.float16)
    fields = {"correct": np.array(correct, np.uint8), "logit_margin": margins, "loss": -margins}
    return History(np.arange(4), fields, SETS)


def test_sets_of_labels_by_hand() -> None:
    """Half of the examples have the set {0}; of 8 answers 3 are right: (3/8 − 1/2) / ½ < ½."""
    history = history_of([[0, 0, 0, 1], [0, 1, 1, 0]])
    evidence = evidence_of(history, history.suspects())
    assert evidence is not None
    assert evidence.thin
    assert evidence.record() == {
        "thin": True,
        "mean_exact_match": pytest.approx(3 / 8),
        "latest_exact_match": 0.5,
        "most_frequent_set": 0.5,
        "predicted_as_labelled": 0,
    }
    assert evidence.sentence() == (
        "the evidence is thin: the model is too weak: over 2 epochs it predicted 38% of the sets "
        "of labels on average, the most frequent set has 50%; 0 of 1 suspect are by now predicted "
        "as labelled; train a better model, or longer"
    )


def test_a_model_that_has_learned_the_sets_is_not_called_weak() -> None:
    history = history_of([[0, 1, 1, 1], [1, 1, 1, 1]])
    evidence = evidence_of(history, history.suspects())
    assert evidence is not None
    assert not evidence.thin
    assert evidence.sentence() == ""


def test_suspects_by_loss_are_not_judged() -> None:
    history = history_of([[0, 0, 0, 1], [0, 1, 1, 0]])
    assert evidence_of(history, history.suspects("loss")) is None
