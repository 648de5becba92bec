"""The confident joint by hand."""

import numpy as np

from trainer.history.confident_joint import LabelErrors, confident_joint, estimate, thresholds

P = np.array([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_the_counts_and_the_estimate_by_hand() -> None:
    """t = (1.7 / 3, 1.5 / 3). The third is confidently of class 1, the fifth of class 0."""
    limits = thresholds(P[np.arange(6), LABELS], LABELS, 2)
    np.testing.assert_allclose(limits, [1.7 / 3, 1.5 / 3])
    assert confident_joint(P, LABELS, limits).tolist() == [[2, 1], [1, 2]]
    found = estimate(P, LABELS)
    np.testing.assert_allclose(found.joint, [[2, 1], [1, 2]])
    assert found.total == 2
    assert found.pairs() == [(1, 0, 1), (0, 1, 1)]


def test_an_unsure_example_is_not_counted() -> None:
    """Scaled to all labels: of class 0, one in two of those counted is wrong, so two in four."""
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 1])
    limits = thresholds(p[np.arange(5), labels], labels, 2)
    assert limits.tolist() == [0.5, 0.9]
    p[1:3] = [0.49, 0.51]
    assert confident_joint(p, labels, limits).tolist() == [[1, 1], [0, 1]]
    found = LabelErrors.of(confident_joint(p, labels, limits), labels)
    assert found.joint.tolist() == [[2, 2], [0, 1]]


def test_classes_without_a_label_are_never_found() -> None:
    p = np.array([[0.1, 0.1, 0.8], [0.2, 0.5, 0.3]])
    found = estimate(p, np.array([0, 1]))
    assert found.joint[:, 2].tolist() == [0, 0, 0]
    assert found.total == 0


def test_a_class_of_wrong_labels_alone_keeps_one() -> None:
    """Eq. 3 would divide by 0, or leave the class without a right label."""
    counts = np.array([[0, 3], [0, 0]])
    found = LabelErrors.of(counts, np.array([0, 0, 0, 0, 1]))
    np.testing.assert_allclose(found.joint, [[1, 3], [0, 1]])
