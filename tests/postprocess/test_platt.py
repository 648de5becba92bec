"""Platt scaling by hand and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from trainer.postprocess.platt import Platt, fit_sigmoids, log_odds


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier that returns its input as the decision function."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x[:, 1] if x.shape[1] == 2 else x

    def predict(self, x):
        return self.classes_[x.argmax(1)]


def fitted(outputs, labels, **settings) -> Platt:
    platt = Platt(**settings)
    platt.fit(outputs, labels)
    return platt


def test_by_hand():
    """Scores ±2, correct three times out of four: by symmetry σ(2a) is the mean of the targets.

    With plain targets that is 3/4; with Platt's, each 1 is 5/6 and each 0 is 1/6.
    """
    outputs = torch.tensor([[0.0, 2.0]] * 4 + [[2.0, 0.0]] * 4)
    labels = torch.tensor([1, 1, 1, 0, 0, 0, 0, 1])
    plain = fitted(outputs, labels, smooth=False)
    assert plain.fitted["slope"] == pytest.approx([math.log(3) / 2] * 2)
    assert plain.fitted["intercept"] == pytest.approx([0, 0], abs=1e-9)
    assert plain(outputs)[0, 1].exp().item() == pytest.approx(0.75)
    smooth = fitted(outputs, labels)
    mean = (3 * 5 / 6 + 1 / 6) / 4
    assert smooth(outputs)[0, 1].exp().item() == pytest.approx(mean)


@pytest.mark.parametrize("classes", ["many", "binary"])
def test_against_scikit_learn(classes, request):
    """Each class against the rest with Platt's targets, renormalised; two share a sigmoid."""
    outputs, labels = request.getfixturevalue(classes)
    scores = log_odds(outputs.double()).numpy()
    classifier = FrozenEstimator(Scores().fit(scores, labels.numpy()))
    reference = CalibratedClassifierCV(classifier, method="sigmoid").fit(scores, labels.numpy())
    p = fitted(outputs, labels)(outputs.double()).exp().numpy()
    np.testing.assert_allclose(p, reference.predict_proba(scores), atol=2e-4)


def test_the_gradient_is_zero(many):
    outputs, labels = many
    scores, targets = log_odds(outputs.double()), F.one_hot(labels, 5).double()
    slope, intercept = (x.requires_grad_() for x in fit_sigmoids(scores, targets))
    logits = slope * scores + intercept
    F.binary_cross_entropy_with_logits(logits, targets).backward()
    assert slope.grad.abs().max() < 1e-11
    assert intercept.grad.abs().max() < 1e-11


def test_log_odds_are_exact_where_p_rounds_to_one():
    """The naive log p − log(1 − p) is infinite there."""
    outputs = torch.tensor([[800.0, 0.0, -800.0], [0.1, 0.2, 0.3]], dtype=torch.float64)
    odds = log_odds(outputs)
    assert odds[0].tolist() == pytest.approx([800, -800, -1600])
    p = outputs[1].softmax(0)
    torch.testing.assert_close(odds[1], (p / (1 - p)).log())
    two = torch.tensor([[50.0, -50.0]], dtype=torch.float64)
    assert log_odds(two)[0].tolist() == [100, -100]


def test_two_classes_have_one_sigmoid(binary):
    slope, intercept = (fitted(*binary).fitted[name] for name in ("slope", "intercept"))
    assert slope[0] == pytest.approx(slope[1], rel=1e-8)
    assert intercept[0] == pytest.approx(-intercept[1], abs=1e-8)


def test_platts_targets_keep_the_slope_of_a_separated_class_finite():
    """With plain targets it grows until the rounds run out."""
    outputs, labels = torch.tensor([[5.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 1])
    smooth, hard = fitted(outputs, labels), fitted(outputs, labels, smooth=False)
    assert smooth(outputs)[0, 0].exp().item() == pytest.approx(2 / 3)  # (1 + 1) / (1 + 2)
    assert hard.fitted["slope"][0] > 4
    assert torch.isfinite(hard(outputs)).all()


def test_a_class_absent_from_val_is_improbable(many):
    outputs, labels = many
    p = fitted(outputs[labels != 2], labels[labels != 2])(outputs).exp()
    assert p[:, 2].mean() < 1e-3
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)))
