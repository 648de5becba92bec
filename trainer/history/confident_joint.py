"""How many labels are wrong, by class pair: the confident joint of given and true labels.

Northcutt et al. 2021, https://arxiv.org/abs/1911.00068. An example with label i counts as one of
class j if p_j is at least t_j, the mean p_j of the examples with label j; of several such j, the
most probable. Over-confident classes have high thresholds, so that the counts bear a model that is
not calibrated.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelErrors:
    """The expected number of examples [C, C] by label (row) and true class (column)."""

    joint: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, labels: np.ndarray) -> "LabelErrors":
        """Scale the counts [C, C] of confident examples to all labels [n].

        A class has at least one example that is rightly labelled, so that no row is empty.
        """
        given = np.bincount(labels, minlength=len(counts))
        counts = counts.astype(np.float64)
        np.fill_diagonal(counts, np.maximum(np.diag(counts), given > 0))
        return cls(counts / np.maximum(counts.sum(1, keepdims=True), 1) * given[:, None])

    @property
    def total(self) -> int:
        """The expected number of wrong labels."""
        return round(float(self.joint.sum() - np.trace(self.joint)))

    def pairs(self) -> list[tuple[int, int, int]]:
        """(true class, label, number) of what is taken for what, the most frequent first.

        Pairs of which less than half an error is expected are left out.
        """
        off = self.joint - np.diag(np.diag(self.joint))
        order = np.argsort(-off, axis=None, kind="stable")
        places = (divmod(int(place), len(off)) for place in order if off.flat[place] >= 0.5)
        return [(true, label, round(float(off[label, true]))) for label, true in places]


def estimate(p: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Estimate the errors from probabilities [n, C] and labels [n]."""
    limits = thresholds(p[np.arange(len(labels)), labels], labels, p.shape[1])
    return LabelErrors.of(confident_joint(p, labels, limits), labels)


def thresholds(p_y: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """t_j [C], the mean probability of the label, p_y [n], by label; ∞ for a class without any."""
    given = np.bincount(labels, minlength=classes)
    own = np.bincount(labels, p_y, minlength=classes)
    return np.where(given > 0, own / np.maximum(given, 1), np.inf)


def confident_joint(p: np.ndarray, labels: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count the examples [C, C] with label i that are confidently of class j."""
    classes = p.shape[1]
    above = np.where(p >= limits, p, -np.inf)
    confident = np.isfinite(above.max(1))
    cells = labels[confident] * classes + above[confident].argmax(1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)
