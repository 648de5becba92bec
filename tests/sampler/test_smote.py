import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.core.errors import DataError
from trainer.core.plan import Plan
from trainer.dataset import Split
from trainer.dataset.base import Pixels
from trainer.loader.memory import Memory
from trainer.sampler import smote
from trainer.sampler.smote import Smote, pairs_of

imblearn = pytest.importorskip("imblearn.over_sampling")
CPU = torch.device("cpu")


def rows(split: Split, seed: int = 0, **options) -> tuple[torch.Tensor, torch.Tensor]:
    ids, shares = Smote(**options).rows(split, np.random.default_rng(seed))
    assert shares is not None
    return ids, shares


def is_synthetic(ids: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Which rows are synthetic examples, bool [R]."""
    return ids[:, 0] != ids[:, 1]


def test_every_example_once_and_equal_classes(uneven):
    ids, shares = rows(uneven)
    new = is_synthetic(ids, shares)
    assert sorted(ids[~new][:, 0].tolist()) == sorted(uneven.ids.tolist())
    assert shares[~new].tolist() == [[1, 0]] * 49
    assert uneven.labels[ids[new][:, 0]].bincount().tolist() == [0, 18, 23]
    assert uneven.labels[ids].eq(uneven.labels[ids[:, :1]]).all(), "pairs are of one class"
    assert new.nonzero()[0] < 49, "the rows are shuffled"


def test_interpolation_by_hand(noise):
    """Three pixels 0, 10 and 30 with k = 1: their neighbours are 10, 0 and 10."""
    pixels = torch.zeros(9, 1, 1, 1, dtype=torch.uint8)
    pixels[[2, 4, 6], 0, 0, 0] = torch.tensor([0, 10, 30], dtype=torch.uint8)
    labels = torch.tensor([0, 0, 1, 0, 1, 0, 1, 0, 0])
    split = Split(Pixels(pixels), labels, torch.arange(9))
    ids, shares = rows(split, k=1)
    new = is_synthetic(ids, shares)
    assert new.sum() == 3
    neighbour = {2: 4, 4: 2, 6: 4}
    assert all(neighbour[base] == other for base, other in ids[new].tolist())
    feed = Memory().open(split, CPU)
    for batch in feed.batches(Plan.of(ids, 4, shares)):
        value = pixels[batch.index[:, 0], 0, 0, 0].float()
        other = pixels[batch.index[:, 1], 0, 0, 0].float()
        expected = value + batch.shares[:, 1] * (other - value)
        torch.testing.assert_close(batch.images[:, 0, 0, 0].float(), expected)
        assert batch.labels.shape[1] == 2


def test_lambda_is_uniform(uneven):
    ids, shares = map(torch.cat, zip(*(rows(uneven, seed) for seed in range(100)), strict=True))
    drawn = shares[is_synthetic(ids, shares), 1]
    assert len(drawn) == 4100
    counts = (drawn * 10).long().bincount(minlength=10)
    assert (counts - 410).abs().max() < 5 * 410**0.5
    torch.testing.assert_close(shares.sum(1), torch.ones(len(shares)))


def test_neighbours_against_a_slow_loop():
    """A duplicate of an example is its neighbour; the example itself never is."""
    features = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    features[3] = features[7]
    nearest = pairs_of(5).nearest(features.numpy())
    for i in range(30):
        others = [j for j in range(30) if j != i]
        slow = sorted((features[i] - features[j]).norm().item() for j in others)[:5]
        assert i not in nearest[i]
        distances = (features[i] - features[nearest[i]]).norm(dim=1)
        torch.testing.assert_close(distances, torch.tensor(slow))
    assert (nearest[3, 0], nearest[7, 0]) == (7, 3)


def test_the_same_segments_as_imbalanced_learn(uneven):
    """Its points lie between our examples and their neighbours, and the class counts agree."""
    pixels = uneven.images.read(uneven.ids.tolist()).flatten(1).double()
    labels = uneven.labels[uneven.ids]
    points, their_labels = imblearn.SMOTE(k_neighbors=5, random_state=0).fit_resample(
        pixels.numpy(), labels.numpy()
    )
    ids, _ = rows(uneven)
    counts = uneven.labels[ids[:, 0]].bincount()
    assert counts.tolist() == np.bincount(their_labels).tolist()
    pools = {int(uneven.labels[pool.ids[0]]): pool for pool in Smote().prepare(uneven)}
    for point, label in zip(points[49:], their_labels[49:], strict=True):
        pool = pools[int(label)]
        start = uneven.images.read(pool.ids.tolist()).flatten(1).double()[:, None]
        ends = uneven.images.read(pool.ids[pool.neighbours.flatten()].tolist()).flatten(1).double()
        along = ends.view(*pool.neighbours.shape, -1) - start
        offset = torch.from_numpy(point) - start
        share = (offset * along).sum(2) / along.square().sum(2)
        distance = (offset - share[..., None] * along).norm(dim=2)
        assert distance[(share >= 0) & (share <= 1)].min() < 1e-6


def test_the_same_draws_as_imbalanced_learn():
    """For the same seed its points are ours: x + λ·(x_nn − x)."""
    features = np.random.default_rng(0).normal(size=(32, 3))
    labels = np.repeat([0, 1], [20, 12])
    points, _ = imblearn.SMOTE(random_state=7).fit_resample(features, labels)
    small, smote = features[20:], pairs_of(5, 7)
    positions, share = smote.draw(smote.nearest(small), 8)
    start, end = small[positions[:, 0]], small[positions[:, 1]]
    ours = start + share[:, None] * (end - start)
    np.testing.assert_allclose(ours, points[32:])


def test_neighbours_by_features_of_a_file(uneven, tmp_path: Path):
    """The file is indexed by dataset id, and the pixels play no part."""
    line = np.zeros((98, 2), np.float32)
    line[:, 0] = np.arange(98) ** 1.5
    np.save(tmp_path / "features.npy", line)
    reference = str(tmp_path / "features.npy")
    ids, shares = rows(uneven, k=2, space="feature", reference=reference)
    for base, other in ids[is_synthetic(ids, shares)].tolist():
        same = [int(i) for i in uneven.ids if uneven.labels[i] == uneven.labels[base]]
        near = sorted(same, key=lambda i, base=base: abs(i**1.5 - base**1.5))
        assert other in near[1:3]


def test_features_of_a_run_are_computed_once_for_the_small_classes_only(uneven):
    requests = []

    class Run:
        def __init__(self, reference: str, setting: str) -> None:
            self.about = f"{setting}={reference}"

        def features(self, split: Split) -> torch.Tensor:
            requests.append((self.about, sorted(split.ids.tolist())))
            return split.ids[:, None].float()

    sampler = Smote(Run, space="feature", reference="outputs/run")
    for seed in (0, 1):
        sampler.rows(uneven, np.random.default_rng(seed))
    small = [int(i) for i in uneven.ids if uneven.labels[i] != 0]
    assert requests == [("sampler.reference=outputs/run", sorted(small))]


def test_equal_classes_gain_no_synthetic_examples(noise):
    ids, shares = Smote().rows(noise(21), np.random.default_rng(0))
    assert shares is None
    assert sorted(ids.tolist()) == list(range(21))


def test_a_class_with_too_few_examples_is_named(uneven):
    assert len(rows(uneven, k=6)[0]) == 90
    with pytest.raises(DataError, match=r"sampler\.k=7: class 2 has 7 .* for 7 neighbours"):
        rows(uneven, k=7)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(smote, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install -e '\.\[smote\]'"):
        Smote()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"sampler\.k must be in \[1, inf\), got 0"):
        Smote(k=0)
    with pytest.raises(ValueError, match=r"sampler\.reference must be given"):
        Smote(space="feature")
    with pytest.raises(ValueError, match=r"sampler\.reference=x\.npy needs sampler\.space=feature"):
        Smote(reference="x.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (None, "cannot be read"),
        (np.zeros((10, 2)), r"must be \[98, d\], got \[10, 2\]"),
        (np.zeros(98), r"must be \[98, d\], got \[98\]"),
        (np.full((98, 2), np.nan), "not finite"),
    ],
)
def test_a_bad_feature_file_is_named(uneven, tmp_path: Path, array, message):
    path = tmp_path / "features.npy"
    if array is not None:
        np.save(path, array)
    with pytest.raises(DataError, match=r"sampler\.reference=.*" + message):
        rows(uneven, space="feature", reference=str(path))


def test_a_feature_file_is_one_array_in_a_regular_file(uneven, tmp_path: Path):
    path = tmp_path / "features.npy"
    os.mkfifo(path)
    with pytest.raises(DataError, match="not a regular file"):
        rows(uneven, space="feature", reference=str(path))
    path.unlink()
    path.touch()
    with pytest.raises(DataError, match="cannot be read"):
        rows(uneven, space="feature", reference=str(path))
    with path.open("wb") as file:
        np.savez(file, np.zeros((98, 2)))
    with pytest.raises(DataError, match="an archive"):
        rows(uneven, space="feature", reference=str(path))


def test_neighbours_are_searched_once_per_split(uneven, monkeypatch):
    from trainer.sampler.shared.smote_pairs import Pairs

    sampler, calls, nearest = Smote(), [], Pairs.nearest
    monkeypatch.setattr(Pairs, "nearest", lambda p, f: calls.append(len(f)) or nearest(p, f))
    for split in (uneven, uneven, replace(uneven, ids=uneven.ids[5:])):
        sampler.rows(split, np.random.default_rng(0))
    assert calls == [12, 7, 12, 7]
