"""Folds: a partition, stratified, with whole groups, drawn by the seed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from trainer.core.errors import ConfigError, DataError
from trainer.dataset import Dataset, Raw, Split
from trainer.dataset.base import Pixels
from trainer.dataset.digits import Digits
from trainer.dataset.digits_canvas import DigitsCanvas
from trainer.dataset.image_folder import ImageFolder
from trainer.dataset.shared.folds import cut_fold, joined
from trainer.dataset.shared.grouped import assign_groups

Noise = Callable[..., Split]


def fold_ids(split: Split, folds: int, seed: int = 0) -> list[list[int]]:
    rngs = (np.random.default_rng(seed) for _ in range(folds))
    return [cut_fold(split, folds, i, rng)[0].ids.tolist() for i, rng in enumerate(rngs)]


def test_folds_are_a_stratified_partition(noise: Noise) -> None:
    """Of 20, 21 and 22 examples of three classes each fold has 4 to 5, and 12 or 13 in all."""
    labels = torch.tensor([0] * 20 + [1] * 21 + [2] * 22)
    split = replace(noise(63), labels=labels)
    folds = fold_ids(split, 5)
    assert sorted(i for fold in folds for i in fold) == list(range(63))
    assert {len(fold) for fold in folds} == {12, 13}
    assert {n for f in folds for n in labels[f].bincount(minlength=3).tolist()} <= {4, 5}
    assert fold_ids(split, 5) == folds
    assert fold_ids(split, 5, seed=1) != folds
    fold, rest = cut_fold(split, 5, 2, np.random.default_rng(0))
    assert sorted([*fold.ids.tolist(), *rest.ids.tolist()]) == list(range(63))


def test_groups_are_as_even_as_scikit_learns(noise: Noise) -> None:
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 30, 60)
    groups = np.repeat(np.arange(60), sizes)
    labels = (rng.random(len(groups)) < rng.random(60)[groups]).astype(np.int64)
    split = replace(
        noise(len(groups)), labels=torch.from_numpy(labels), groups=torch.from_numpy(groups)
    )
    ours = fold_ids(split, 5)
    assert sorted(i for fold in ours for i in fold) == list(range(len(groups)))
    assert sum(len(set(groups[fold])) for fold in ours) == 60  # no group in two folds
    theirs = [
        f
        for _, f in StratifiedGroupKFold(5, shuffle=True, random_state=0).split(
            labels, labels, groups
        )
    ]

    def uneven(folds: list[list[int]]) -> float:
        counts = np.array([np.bincount(labels[fold], minlength=2) for fold in folds])
        return float((counts.std(0) / counts.mean(0)).max())

    assert uneven(ours) < max(uneven([list(f) for f in theirs]), 0.05)


def test_no_part_is_empty_where_groups_are_few_and_large() -> None:
    groups, strata = np.repeat([0, 1, 2], 10), np.tile([0, 1], 15)
    part = assign_groups(groups, strata, (0.1, 0.9), np.random.default_rng(0))
    assert (part == 0).sum() == 10
    with pytest.raises(DataError, match=r"dataset.group: 1 group cannot be divided into 2 parts"):
        assign_groups(groups * 0, strata, (0.1, 0.9), np.random.default_rng(0))


def test_too_few_examples_or_groups_are_named(noise: Noise) -> None:
    with pytest.raises(DataError, match=r"dataset.folds=5: there are only 4 examples"):
        cut_fold(noise(4), 5, 0, np.random.default_rng(0))
    grouped = replace(noise(20), groups=torch.arange(20) % 3)
    with pytest.raises(DataError, match=r"dataset.folds=5: there are only 3 groups"):
        cut_fold(grouped, 5, 0, np.random.default_rng(0))


# In a data set


def test_the_fold_is_the_val_split_and_test_is_left_alone() -> None:
    """Digits hold out 359 of 1,797 for testing; five folds of the other 1,438."""
    plain = Digits().open(0)
    every = [Digits(folds=5, fold=i).open(0) for i in range(5)]
    assert all(torch.equal(data.test.ids, plain.test.ids) for data in every)
    assert sorted(len(data.val) for data in every) == [287, 287, 288, 288, 288]
    together = torch.cat([data.val.ids for data in every]).sort().values
    assert torch.equal(together, torch.cat([plain.train.ids, plain.val.ids]).sort().values)
    for data in every:
        assert len(data.train) + len(data.val) == 1438
        assert not set(data.train.ids.tolist()) & set(data.val.ids.tolist())
    assert not torch.equal(Digits(folds=5, fold=0).open(1).val.ids, every[0].val.ids)


def test_masks_have_folds_too() -> None:
    data = [DigitsCanvas(examples=50, folds=4, fold=i).open(0) for i in range(4)]
    assert [len(one.val) for one in data] == [10] * 4
    assert len(torch.cat([one.val.ids for one in data]).unique()) == 40


def test_a_published_val_split_is_cut_into_folds_too(tmp_path: Path) -> None:
    """Rows of val follow those of train, and its pixels are read."""
    for split, number in {"train": 6, "val": 4, "test": 2}.items():
        for i in range(number):
            for name in "ab":
                path = tmp_path / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 4), {"train": 0, "val": 100, "test": 200}[split] + i).save(path)
    every = [ImageFolder(root=str(tmp_path), folds=5, fold=i).open(0) for i in range(5)]
    assert [len(data.val) for data in every] == [4] * 5
    assert sorted(torch.cat([data.val.ids for data in every]).tolist()) == list(range(20))
    assert len(every[0].test) == 4
    images = every[0].train.images
    assert images is every[0].val.images
    assert [images.read([i])[0, 0, 0, 0].item() for i in (0, 11, 12, 19)] == [0, 5, 100, 103]
    assert len(images.files.paths) == 20  # pyright: ignore


def test_sources_that_cannot_be_joined_are_refused(noise: Noise) -> None:
    class Other:
        shape = (1, 6, 5)

    with pytest.raises(ConfigError, match="of one kind, not Pixels and Other"):
        joined(noise(4), replace(noise(4), images=Other()))  # pyright: ignore


def test_pixels_are_joined(noise: Noise) -> None:
    first, second = noise(4), noise(5)
    both = joined(first, second)
    assert both.ids.tolist() == list(range(9))
    assert isinstance(both.images, Pixels)
    assert torch.equal(both.images.read([4, 8]), second.images.read([0, 4]))
    assert joined(first, None) is first


def test_label_noise_is_the_same_in_every_fold() -> None:
    """And it is in the fold's own labels, so that out-of-fold predictions can find it."""
    every = [Digits(folds=3, fold=i, label_noise=0.2).open(0) for i in range(3)]
    assert all(torch.equal(data.train.labels, every[0].train.labels) for data in every)
    for data in every:
        assert data.true_labels is not None
        wrong = data.val.labels[data.val.ids] != data.true_labels[data.val.ids]
        assert 0.1 < wrong.float().mean() < 0.3
        assert torch.equal(data.test.labels, data.true_labels)
    pool = torch.cat([every[0].train.ids, every[0].val.ids])
    truth = every[0].true_labels
    assert truth is not None
    assert int((every[0].train.labels != truth)[pool].sum()) == 288  # 0.2 · 1438


@pytest.mark.parametrize("settings", [{"subset": 0.5}, {"imbalance": 4.0}, {"classes": [3, 5]}])
def test_degradations_are_of_the_training_folds(settings: dict[str, object]) -> None:
    every = [Digits(folds=3, fold=i, label_noise=0.1, **settings).open(0) for i in range(3)]  # pyright: ignore
    whole = [Digits(folds=3, fold=i, classes=settings.get("classes")).open(0) for i in range(3)]  # pyright: ignore
    for data, plain in zip(every, whole, strict=True):
        assert torch.equal(data.val.ids, plain.val.ids)
        assert set(data.train.ids.tolist()) <= set(plain.train.ids.tolist())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"fold": 0}, "dataset.fold=0 needs dataset.folds"),
        ({"folds": 3}, "dataset.folds=3 needs dataset.fold, .* -m dataset.fold=0,1,2 runs all"),
        ({"folds": 1, "fold": 0}, r"dataset.folds must be in \[2, inf\)"),
        ({"folds": 3, "fold": 3}, r"dataset.fold must be in \[0, 2\], got 3"),
    ],
)
def test_folds_that_do_not_exist_are_refused(settings: dict[str, int], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Dataset(**settings)  # pyright: ignore


# Groups


class Grouped(Dataset):
    """40 images in 10 groups, with a published test split where asked for."""

    test: list[int] | None = None
    one_class: bool = False

    def load(self) -> Raw:
        pixels = Pixels(torch.zeros(40, 1, 2, 2, dtype=torch.uint8))
        groups = torch.arange(40) // 4
        labels = groups // 9 if self.one_class else torch.arange(40) % 2
        whole = Split(pixels, labels, torch.arange(40), groups)
        names = tuple(f"patient {i}" for i in range(10))
        if self.test is None:
            return Raw(whole, None, ("a", "b"), groups=names)
        inside = torch.isin(groups, torch.tensor(self.test))
        train = replace(whole, ids=torch.arange(40)[~inside])
        ids = torch.cat([torch.arange(40)[inside], torch.tensor([1])])
        return Raw(train, replace(whole, ids=ids), ("a", "b"), groups=names)


def test_no_group_is_in_two_splits() -> None:
    data = Grouped(val_fraction=0.25).open(0)
    parts = [set(s.groups[s.ids].tolist()) for s in (data.train, data.val, data.test)]  # pyright: ignore
    assert [len(part) for part in parts] == [6, 2, 2]
    assert len(set.union(*parts)) == 10
    assert data.groups[3] == "patient 3"
    assert torch.equal(Grouped().open(5).test.ids, data.test.ids)
    assert torch.equal(Grouped(val_fraction=0.25).open(0).val.ids, data.val.ids)


def test_folds_of_groups() -> None:
    every = [Grouped(folds=4, fold=i).open(0) for i in range(4)]
    groups = [sorted(set((data.val.ids // 4).tolist())) for data in every]
    assert [len(g) for g in groups] == [2] * 4
    assert len({g for some in groups for g in some}) == 8


def test_published_splits_that_share_a_group_are_refused() -> None:
    dataset = Grouped()
    dataset.test = [4, 7]
    with pytest.raises(
        DataError, match=r"dataset.group: patient 0 is in train and in test; .* dataset.group=null"
    ):
        dataset.open(0)


def test_a_class_that_is_one_group_cannot_be_held_out() -> None:
    """Class b is the group 9 alone; of ten groups, half are held out."""
    dataset = Grouped(test_fraction=0, val_fraction=0.5)
    dataset.one_class = True
    expected = r"dataset.group: all groups with images of class b have been held out"
    with pytest.raises(DataError, match=expected):
        [dataset.open(seed) for seed in range(20)]


@pytest.mark.parametrize(
    "settings", [{"subset": 8}, {"label_noise": 0.25}, {"classes": ["b", "a"]}]
)
def test_groups_are_kept_by_other_settings(settings: dict[str, object]) -> None:
    data = Grouped(**settings).open(0)  # pyright: ignore
    assert data.train.groups is not None
    assert torch.equal(data.train.groups, torch.arange(40) // 4)
    assert len(data.train) == settings.get("subset", len(data.train))


def test_the_parent_folder_is_the_group(tmp_path: Path) -> None:
    """A patient has images of both classes; the names are composed."""
    for name in ("ill", "well"):
        for patient in ("José", "b", "c", "d", "e"):
            for i in range(2):
                path = tmp_path / name / patient / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (4, 4)).save(path)
    data = ImageFolder(root=str(tmp_path), group="folder").open(0)
    assert data.groups == ("José", "b", "c", "d", "e")
    assert [len(s) for s in (data.train, data.val, data.test)] == [12, 4, 4]
    assert data.train.groups is not None
    assert data.train.groups.tolist() == [i // 2 for i in range(10)] * 2
    with pytest.raises(DataError, match=r"dataset.group=folder: each class is one group"):
        ImageFolder(root=str(tmp_path / "ill"), group="folder").open(0)


def test_published_folders_that_share_a_group_are_refused(tmp_path: Path) -> None:
    for place in ("train/a/p1", "train/b/p1", "train/a/p2", "test/a/p2", "test/b/p3"):
        (tmp_path / place).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / place / "0.png")
    with pytest.raises(DataError, match=r"dataset.group: p2 is in train and in test"):
        ImageFolder(root=str(tmp_path), group="folder").open(0)
