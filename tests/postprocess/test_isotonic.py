"""Isotonic calibration by hand and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from trainer.postprocess.isotonic import Isotonic, isotonic


def fitted(outputs, labels) -> Isotonic:
    fit = Isotonic()
    fit.fit(outputs, labels)
    return fit


def test_by_hand():
    """The values 1, 3, 2, 4 at 0, 1, 2, 3: the middle two are pooled to 2.5."""
    points, values = isotonic(np.array([2.0, 0, 1, 3]), np.array([2.0, 1, 3, 4]))
    assert points.tolist() == [0, 1, 2, 3]
    assert values.tolist() == [1, 2.5, 2.5, 4]
    points, values = isotonic(np.array([0.0, 1, 2, 3]), np.array([3.0, 2, 1, 4]))
    assert (points.tolist(), values.tolist()) == ([0, 2, 3], [2, 2, 4])


@pytest.mark.parametrize("digits", [1, 2, 15])  # with ties, and without
def test_against_scikit_learn(digits):
    rng = np.random.default_rng(0)
    x = rng.random(500).round(digits)
    y = (rng.random(500) < x).astype(float)
    reference = IsotonicRegression(out_of_bounds="clip").fit(x, y)
    points, values = isotonic(x, y)
    np.testing.assert_allclose(points, reference.X_thresholds_)
    np.testing.assert_allclose(values, reference.y_thresholds_)
    grid = np.linspace(-0.1, 1.1, 200)
    ours = np.interp(grid, points, values)
    np.testing.assert_allclose(ours, reference.predict(grid), atol=1e-12)


def test_each_class_against_the_rest(many):
    """Renormalised and mixed with one uniform example, so that no loss is infinite."""
    outputs, labels = many
    p = outputs.double().softmax(1).numpy()
    mapped = np.stack(
        [
            IsotonicRegression(out_of_bounds="clip")
            .fit(p[:, c], labels.numpy() == c)
            .predict(p[:, c])
            for c in range(5)
        ],
        1,
    )
    assert (mapped == 0).any()
    expected = (2000 * mapped / mapped.sum(1, keepdims=True) + 1 / 5) / 2001
    log_p = fitted(outputs, labels)(outputs.double())
    np.testing.assert_allclose(log_p.exp().numpy(), expected, rtol=1e-9)
    assert torch.isfinite(log_p).all()


def test_uniform_where_every_function_is_zero():
    outputs, labels = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]), torch.tensor([2, 2])
    fit = fitted(outputs, labels)
    fit.fitted["values"] = [[0.0] * len(values) for values in fit.fitted["values"]]
    torch.testing.assert_close(fit(outputs).exp(), torch.full((2, 3), 1 / 3))


def test_loss_on_unseen_examples_falls(many, overconfident):
    """By at least a quarter."""
    outputs, labels = overconfident(4000, 5, 9)
    fit = fitted(*many)
    before = torch.nn.functional.cross_entropy(outputs, labels)
    after = torch.nn.functional.cross_entropy(fit(outputs), labels)
    assert after < 0.75 * before
