import numpy as np
import pytest
import torch

from trainer.batch import Batch
from trainer.mixer.mixup import Mixup
from trainer.seed import Moment


def batch_of(size: int) -> Batch:
    ones = torch.ones(size)
    images = torch.arange(size).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    ids = torch.arange(size)[:, None]
    return Batch(images, ids + 100, ones[:, None], ids, ones, ones)


def test_images_labels_and_ids_are_blended_alike():
    """Image value, share and id must tell the same story for every row."""
    mixed = Mixup(alpha=1.0)(batch_of(16), Moment(0, 0, 3))
    assert mixed.labels.shape == mixed.shares.shape == mixed.index.shape == (16, 2)
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], (mixed.shares * mixed.index).sum(1))
    assert torch.equal(mixed.labels, mixed.index + 100)
    assert mixed.shares[:, 0].unique().numel() == 1, "one λ for the batch"
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(16))


def test_a_share_for_each_image():
    mixed = Mixup(alpha=1.0, per_image=True)(batch_of(16), Moment(0, 0, 3))
    assert mixed.shares[:, 0].unique().numel() == 16
    torch.testing.assert_close(mixed.images[:, 0, 0, 0], (mixed.shares * mixed.index).sum(1))


def test_mixing_twice_multiplies_the_labels():
    once = Mixup()(batch_of(8), Moment(0, 0, 0))
    twice = Mixup()(once, Moment(0, 0, 1))
    assert twice.labels.shape == (8, 4)
    torch.testing.assert_close(twice.shares.sum(1), torch.ones(8))
    torch.testing.assert_close(twice.images[:, 0, 0, 0], (twice.shares * twice.index).sum(1))


def test_a_function_of_the_step():
    first, again, other = (Mixup()(batch_of(8), Moment(0, 0, step)) for step in (4, 4, 5))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.index, other.index)


def test_lambda_is_beta():
    """Mean ½ and variance 1 / (4(2α + 1)) of Beta(α, α)."""
    mixup = Mixup(alpha=0.2)
    draws = [
        mixup.draw(1, (1, 1), np.random.default_rng(i)).values["share"].item() for i in range(2000)
    ]
    assert np.mean(draws) == pytest.approx(0.5, abs=0.03)
    assert np.var(draws) == pytest.approx(1 / (4 * 1.4), abs=0.01)


def test_the_weight_is_the_product_of_the_parts():
    from dataclasses import replace

    batch = replace(batch_of(4), weight=torch.tensor([1.0, 2, 3, 4]))
    mixed = Mixup()(batch, Moment(0, 0, 3))
    torch.testing.assert_close(
        mixed.weight, batch.weight[mixed.index[:, 0]] * batch.weight[mixed.index[:, 1]]
    )


def test_alpha_is_checked():
    with pytest.raises(ValueError, match=r"mixer\.alpha must be in \(0, inf\), got 0"):
        Mixup(alpha=0.0)
