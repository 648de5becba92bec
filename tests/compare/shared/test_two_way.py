"""The two-way variance by hand, and its coverage of the truth for new images."""

import numpy as np
import pytest

from trainer.compare import Anytime, StudentT
from trainer.compare.shared import two_way

TABLE = np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 2.0]])


def test_by_hand():
    """Means of the rows 2/3 and 2/3, of the columns 1/2, 0, 3/2; the residuals are ±1/2 and 0."""
    found = two_way.MeanSquares.of(TABLE)
    assert found.mean == pytest.approx(2 / 3)
    assert found.seed == pytest.approx(0.0)
    assert found.example == pytest.approx(2 * (1 / 36 + 4 / 9 + 25 / 36) / 2)
    assert found.residual == pytest.approx(4 * 0.25 / 2)
    assert found.variance == pytest.approx((7 / 6 - 1 / 2) / 6)


def test_degrees_of_freedom_by_hand():
    """MS 0, 7/6, 1/2 with 1, 2, 2 of their own: (2/3)² / ((49/36 + 1/4) / 2)."""
    assert two_way.MeanSquares.of(TABLE).df == pytest.approx((4 / 9) / ((49 / 36 + 1 / 4) / 2))


def test_examples_that_add_nothing_leave_the_interval_over_seeds():
    """Where each seed has the same value for all examples, it is Student's t interval."""
    table = np.repeat([[0.1], [0.3], [0.2]], 50, 1)
    assert StudentT().crossed(table) == pytest.approx(StudentT().mean([0.1, 0.3, 0.2]))
    assert two_way.bounds(np.full((3, 4), 0.25), 0.95) == (0.25, 0.25)


def test_the_interval_for_new_images_is_never_narrower_than_that_over_seeds():
    """MS_example is a fifth of MS_seed: √1.2 times the error, but 2.88 degrees of freedom."""
    table = np.array([[0.1], [0.3], [0.2]]) + np.tile([-0.18, 0.18], 25)
    low, high = two_way.bounds(table, 0.95)
    seeds = StudentT().mean([0.1, 0.3, 0.2])
    assert seeds[0] < low - 0.01 < high + 0.01 < seeds[1]
    assert StudentT().crossed(table) == pytest.approx(seeds)


def simulated(rng: np.random.Generator) -> np.ndarray:
    """Differences of right answers of 5 seeds on 300 examples: −1, 0, 1, with a true mean of 0."""
    p = 1 / (1 + np.exp(-2 - 2 * rng.normal(size=300)))
    shift = 0.005 * rng.normal(size=(2, 5, 1)) + 0.3 * rng.normal(size=(2, 1, 300))
    right = rng.random((2, 5, 300)) < np.clip(p + shift, 0, 1)
    return right[0].astype(np.float32) - right[1]


def test_the_first_interval_is_too_narrow_for_new_images_and_the_second_is_not():
    rng = np.random.default_rng(0)
    tables = [simulated(rng) for _ in range(150)]
    seeds = [StudentT().mean(table.mean(1).tolist()) for table in tables]
    both = [StudentT().crossed(table) for table in tables]
    always = [Anytime().crossed(table) for table in tables]
    covered = [
        np.mean([low <= 0 <= high for low, high in found]) for found in (seeds, both, always)
    ]
    assert covered[0] < 0.9
    assert 0.91 <= covered[1] <= 0.99
    assert covered[2] >= 0.95
