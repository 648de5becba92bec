"""Neighbours against a slow loop; copies of images, and what only looks alike."""

import io

import numpy as np
import pytest
from PIL import Image

from trainer.history import neighbours
from trainer.history.duplicates import copies
from trainer.history.neighbours import nearest, normalised, vote_margin


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def test_nearest_against_a_loop(features: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "AT_ONCE", 500)  # in parts
    places, cosines = nearest(features, 3)
    points = normalised(features)
    for i in range(60):
        similar = points @ points[i]
        similar[i] = -2
        assert set(places[i]) == set(np.argsort(-similar)[:3])
        np.testing.assert_allclose(np.sort(cosines[i])[::-1], np.sort(similar)[::-1][:3], atol=1e-5)


def test_of_many_rows_some_are_searched(
    features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "MOST", 20)
    places, _ = nearest(features, 3)
    assert len(np.unique(places)) <= 20
    assert not (places == np.arange(60)[:, None]).any()


def test_votes_by_hand() -> None:
    """Three alike and one apart: a wrong label among them has no vote."""
    points = np.array([[1.0, 0.01], [1.0, 0], [1.0, -0.01], [-3.0, 0.0]])
    margins = vote_margin(points, np.array([0, 1, 1, 0]), k=2)
    np.testing.assert_allclose(margins[:3], [-1, 0, 0], atol=1e-3)


def test_few_rows() -> None:
    assert nearest(np.zeros((1, 2)), 5)[0].shape == (1, 0)
    assert np.isnan(vote_margin(np.zeros((1, 2)), np.array([0]))).all()
    assert nearest(np.zeros((3, 2)), 5)[0].shape == (3, 2)


def photo(rng: np.random.Generator) -> np.ndarray:
    """A smooth random picture uint8 [16, 16, 3]."""
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((16, 16), Image.Resampling.BICUBIC))


def recompressed(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75, subsampling=0)
    return np.asarray(Image.open(file))


def test_exact_and_near_copies_are_found_and_nothing_else() -> None:
    rng = np.random.default_rng(1)
    images = [photo(rng) for _ in range(80)]
    darker = (images[2] * 0.7).astype(np.uint8)
    images += [images[0], recompressed(images[1]), darker, images[0]]  # 80 to 83
    pixels = np.stack(images).reshape(84, -1)
    found = copies([row.tobytes() for row in pixels], pixels, pixels.astype(np.float32))
    pairs = zip(found.first.tolist(), found.second.tolist(), found.exact.tolist(), strict=True)
    assert set(pairs) == {(0, 80, True), (0, 83, True), (1, 81, False), (2, 82, False)}
    assert (found.correlation[found.exact] == 1).all()
    assert (found.correlation > 0.95).all()


def test_flat_images_are_no_copies_of_each_other() -> None:
    pixels = np.arange(12, dtype=np.uint8)[:, None].repeat(9, 1)
    found = copies([row.tobytes() for row in pixels], pixels, np.eye(12, dtype=np.float32))
    assert not len(found.first)
