from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.core.batch import Batch
from trainer.core.seed import StepId
from trainer.mixer.mixup import Mixup


def batch_of(size: int) -> Batch:
    ones = torch.ones(size)
    images = torch.arange(size).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    ids = torch.arange(size)[:, None]
    return Batch(images, ids + 100, ones[:, None], ids, ones, ones)


def test_images_labels_and_ids_share_one_blend():
    """The value of a mixed image is the share-weighted sum of the ids, in every row."""
    mixed = Mixup(alpha=1.0)(batch_of(16), StepId(0, 0, 3))
    assert mixed.labels.shape == mixed.shares.shape == mixed.index.shape == (16, 2)
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], (mixed.shares * mixed.index).sum(1))
    assert torch.equal(mixed.labels, mixed.index + 100)
    assert mixed.shares[:, 0].unique().numel() == 1, "one λ for the batch"
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(16))


def test_one_share_per_image():
    mixed = Mixup(alpha=1.0, per_image=True)(batch_of(16), StepId(0, 0, 3))
    assert mixed.shares[:, 0].unique().numel() == 16
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], (mixed.shares * mixed.index).sum(1))


def test_mixing_twice_multiplies_the_labels():
    once = Mixup()(batch_of(8), StepId(0, 0, 0))
    twice = Mixup()(once, StepId(0, 0, 1))
    assert twice.labels.shape == (8, 4)
    torch.testing.assert_close(twice.shares.sum(1), torch.ones(8))
    torch.testing.assert_close(twice.images[:, 0, 0, 0], (twice.shares * twice.index).sum(1))


def test_the_mix_depends_on_the_step():
    first, again, other = (Mixup()(batch_of(8), StepId(0, 0, step)) for step in (4, 4, 5))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.index, other.index)


def test_lambda_has_a_beta_distribution():
    """Mean ½ and variance 1 / (4(2α + 1)) of Beta(α, α)."""
    mixup = Mixup(alpha=0.2)
    rngs, step_id = map(np.random.default_rng, range(2000)), StepId(0, 0, 0)
    draws = [mixup.draw(1, (1, 1), rng, step_id).values["share"].item() for rng in rngs]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.03)
    assert np.var(draws) == pytest.approx(1 / (4 * 1.4), abs=0.01)


@pytest.mark.parametrize(("target", "shape"), [("vector", (3,)), ("image", (1, 2, 2))])
def test_regression_targets_are_blended(target, shape):
    """K stays 1; the share is that of the row's own example."""
    batch = batch_of(8)
    labels = batch.images.mean((1, 2, 3)).view(8, 1, *[1] * len(shape)).expand(8, 1, *shape)
    mixup = Mixup(per_image=True)
    mixup.bind(target)
    mixed = mixup(replace(batch, labels=labels), StepId(0, 0, 3))
    assert mixed.labels.shape == (8, 1, *shape)
    torch.testing.assert_close(mixed.labels.flatten(1)[:, 0], mixed.images[:, 0, 0, 0])
    assert torch.equal(mixed.index, batch.index)
    whole = Mixup(per_image=True)(batch, StepId(0, 0, 3))
    own = (whole.shares * (whole.index == batch.index)).sum(1, keepdim=True)
    torch.testing.assert_close(mixed.shares, own)
    assert mixed.shares.min() < 1


def test_alpha_is_checked():
    with pytest.raises(ValueError, match=r"mixer\.alpha must be in \(0, inf\), got 0"):
        Mixup(alpha=0.0)
