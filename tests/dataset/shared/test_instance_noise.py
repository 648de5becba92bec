"""Instance noise: exactly its share of labels, on doubtful images, the same on any threads."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.dataset.digits import Digits
from trainer.dataset.shared import instance_noise
from trainer.dataset.shared.degrade import label_noise
from trainer.dataset.shared.instance_noise import Ridge, doubts, log_softmax, responses, thumbnails


@pytest.fixture(scope="module")
def digits() -> Split:
    return Digits().open(0).train


@pytest.fixture(scope="module")
def judged(digits: Split) -> tuple[np.ndarray, np.ndarray]:
    return doubts(digits, 10, np.random.default_rng(0))


def changed(noisy: Split, clean: Split) -> np.ndarray:
    """Which examples of the split have another label, bool [n]."""
    return (noisy.labels != clean.labels)[clean.ids].numpy()


def test_the_weak_model_knows_digits_and_names_another_class(
    digits: Split, judged: tuple[np.ndarray, np.ndarray]
) -> None:
    """95 % of the labels are its first choice, so their odds are below 1."""
    other, odds = judged
    assert not (other == digits.labels[digits.ids].numpy()).any()
    assert 0.9 < (odds < 1).mean() < 0.99


def test_exactly_the_share_is_flipped_to_what_the_image_is_taken_for(
    digits: Split, judged: tuple[np.ndarray, np.ndarray]
) -> None:
    noisy = label_noise(digits, 10, 0.2, "instance", seed=3)
    wrong = changed(noisy, digits)
    assert wrong.sum() == 259  # 0.2 · 1294 = 258.8
    assert (noisy.labels != digits.labels).sum() == 259  # none outside the split
    assert torch.equal(noisy.truth, digits.labels)  # pyright: ignore
    _, odds = judged  # of another seed: the doubtful images are much the same
    assert np.median(odds[wrong]) > 3 * np.median(odds[~wrong])
    assert (odds[~wrong] > np.median(odds[wrong])).any()  # chance, no threshold


def test_the_seed_and_the_split_decide(digits: Split) -> None:
    noisy, same, other = (label_noise(digits, 10, 0.2, "instance", seed) for seed in (3, 3, 4))
    assert torch.equal(noisy.labels, same.labels)
    assert not torch.equal(noisy.labels, other.labels)
    more = label_noise(digits, 10, 0.4, "instance", 3)  # the same draws, and further ones
    assert changed(more, digits)[changed(noisy, digits)].all()


def test_threads_do_not_matter(digits: Split) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = label_noise(digits, 10, 0.3, "instance", 0)
        torch.set_num_threads(4)
        assert torch.equal(one.labels, label_noise(digits, 10, 0.3, "instance", 0).labels)
    finally:
        torch.set_num_threads(threads)


def test_responses_are_exact_integers() -> None:
    """In float32 as in int64, for the largest sums that there are."""
    images = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    filters = torch.full((2, 3, 4, 4), 31.0)
    filters[1] = -31
    values = responses(images, filters)
    whole = 48 * 255 * 31  # of one place; 7 x 7 places: quadrants of 16 that share the middle
    assert values.view(4, 4).tolist() == [[16 * whole, 0, 0, 16 * whole]] * 4


def test_ridge_against_the_normal_equations(digits: Split) -> None:
    images, labels = thumbnails(digits), digits.labels[digits.ids].numpy()
    filters = instance_noise.random_patches(images, np.random.default_rng(0))
    rows = np.arange(0, len(labels), 2)
    model = Ridge(images, filters, rows, labels, 10)
    x = model.features(responses(images[::2], filters))
    assert (x == x.round()).all()
    assert (x.min(), x.max()) == (0, 255)
    ridge = instance_noise.RIDGE * (x**2).sum() / x.shape[1]
    a = np.concatenate([x, np.sqrt(ridge) * np.eye(x.shape[1])])  # ridge as more examples
    b = np.concatenate([np.eye(10)[labels[rows]], np.zeros((x.shape[1], 10))])
    np.testing.assert_allclose(model.weights, np.linalg.lstsq(a, b)[0], rtol=1e-4, atol=1e-9)


def test_no_image_is_judged_by_its_own_label(digits: Split) -> None:
    """A single wrong label changes what the other half thinks, and not its own image's scores."""
    _, odds = doubts(digits, 10, np.random.default_rng(0))
    labels = digits.labels.clone()
    place = int(np.argmin(odds))  # the image whose class is the clearest
    labels[digits.ids[place]] = (labels[digits.ids[place]] + 1) % 10
    after, against = doubts(replace(digits, labels=labels), 10, np.random.default_rng(0))
    assert after[place] == digits.labels[digits.ids[place]]
    assert against[place] > 100 > odds[place]


def test_large_images_are_shrunk_to_means() -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 48), dtype=torch.uint8)
    small = thumbnails(Split(Pixels(pixels), torch.zeros(3), torch.tensor([2, 0])))
    assert small.shape == (2, 3, 16, 16)
    assert small[0, 1, 0, 0] == pixels[2, 1, :2, :3].float().mean().round()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 7)])
@pytest.mark.parametrize("number", [2, 5])
def test_tiny_images_and_few_of_them(shape: tuple[int, int, int], number: int) -> None:
    pixels = torch.arange(number * 42).remainder(251).byte().view(number, -1)
    pixels = pixels[:, : shape[0] * shape[1] * shape[2]].reshape(number, *shape)
    split = Split(Pixels(pixels), torch.arange(number) % 2, torch.arange(number))
    noisy = label_noise(split, 2, 0.5, "instance", 0)
    assert changed(noisy, split).sum() == int(number / 2 + 0.5)


def test_no_flips_at_a_rate_near_zero(digits: Split) -> None:
    assert not changed(label_noise(digits, 10, 1e-5, "instance", 0), digits).any()


def test_log_softmax_by_hand() -> None:
    np.testing.assert_allclose(np.exp(log_softmax(np.log([[1.0, 3.0]]))), [[0.25, 0.75]])
