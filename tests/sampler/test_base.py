"""Properties of every sampler, and effective class counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import node_of, options

from trainer.config.build import build
from trainer.core.plan import Plan, class_counts
from trainer.dataset import Split
from trainer.history.store import DifficultyStore
from trainer.sampler import Sampler
from trainer.sampler.base import by_class


def sampler_of(name: str, split: Split, folder) -> Sampler:
    """Build an option from its YAML, with the settings that have no default."""
    node = node_of("sampler", name)
    if name == "trim_hardest":
        store = DifficultyStore(folder / "examples", 98, (), torch.device("cpu"))
        store.describe(ids=split.ids, labels=split.labels)
        store.add(split.ids, {"loss": torch.arange(49.0)})
        store.flush(0)
        node = node | {"reference": str(folder)}
    if name == "prune":
        node = node | {"by": "random"}
    return build(node, "sampler", Sampler)


@pytest.mark.parametrize("name", options("sampler"))
def test_rows_are_a_function_of_the_split_and_the_generator(uneven, tmp_path, name):
    sampler = sampler_of(name, uneven, tmp_path)
    ids, shares = sampler.rows(uneven, np.random.default_rng(3))
    sampler.rows(uneven, np.random.default_rng(4))
    sampler.rows(replace(uneven, ids=uneven.ids[1:]), np.random.default_rng(4))
    assert (shares is not None) == (name == "smote")
    for other in (sampler, sampler_of(name, uneven, tmp_path)):
        same_ids, same_shares = other.rows(uneven, np.random.default_rng(3))
        assert torch.equal(ids, same_ids)
        if name == "smote":
            assert shares is not None
            assert same_shares is not None
            assert torch.equal(shares, same_shares)
        else:
            assert same_shares is None
    other_ids, _ = sampler.rows(uneven, np.random.default_rng(4))
    if name == "sequential":
        assert other_ids.tolist() == ids.tolist() == uneven.ids.tolist()
    else:
        assert other_ids.tolist() != ids.tolist()


@pytest.mark.parametrize("name", options("sampler"))
def test_rows_come_from_the_training_split(uneven, tmp_path, name):
    sampler = sampler_of(name, uneven, tmp_path)
    ids, shares = sampler.rows(uneven, np.random.default_rng(3))
    assert set(ids.flatten().tolist()) <= set(sampler.ids(uneven).tolist())
    assert set(sampler.ids(uneven).tolist()) <= set(uneven.ids.tolist())
    plan = Plan.of(ids, 8, shares)
    torch.testing.assert_close(plan.shares.sum(1), torch.ones(len(plan.shares)))
    counts = class_counts(plan, uneven.labels, 3)
    assert counts.sum().item() == pytest.approx(len(plan))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shuffle", [30, 12, 7]),
        ("sequential", [30, 12, 7]),
        ("oversample", [30, 30, 30]),
        ("undersample", [7, 7, 7]),
        ("label_shuffle", [30, 30, 30]),
        ("smote", [30, 30, 30]),
    ],
)
def test_effective_class_counts(uneven, tmp_path, name, expected):
    ids, shares = sampler_of(name, uneven, tmp_path).rows(uneven, np.random.default_rng(3))
    counts = class_counts(Plan.of(ids, 8, shares), uneven.labels, 3)
    torch.testing.assert_close(counts, torch.tensor(expected, dtype=torch.float64))


def test_class_counts_weight_a_blend_by_its_shares():
    shares = torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    plan = Plan.of(torch.tensor([[5, 3], [3, 3]]), 2, shares)
    labels = torch.tensor([9, 9, 9, 1, 9, 2])
    assert class_counts(plan, labels, 4).tolist() == [0, 1.25, 0.75, 0]
    assert class_counts(Plan.of(torch.tensor([3, 5, 3]), 2), labels, 4).tolist() == [0, 2, 1, 0]


def test_classes_without_examples_are_left_out(uneven):
    """The result has dataset ids, not positions in the split."""
    split = replace(uneven, ids=torch.tensor([11, 4, 8]), labels=torch.arange(98) % 9)
    assert {label: ids.tolist() for label, ids in by_class(split).items()} == {
        2: [11],
        4: [4],
        8: [8],
    }


def test_labels_without_classes_are_rejected(uneven):
    with pytest.raises(ValueError, match=r"class labels, got vector targets; use sampler=shuffle"):
        by_class(replace(uneven, labels=torch.rand(98)))
    with pytest.raises(ValueError, match=r"class labels, got mask targets; use sampler=shuffle"):
        by_class(replace(uneven, labels=torch.zeros(98, 4, 4, dtype=torch.uint8)))


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(98, 4, 4, dtype=torch.uint8), torch.rand(98, 3), torch.rand(98, 1, 4, 4)],
    ids=["masks", "vectors", "images"],
)
@pytest.mark.parametrize("name", options("sampler"))
def test_masks_and_numbers_are_accepted_or_rejected_in_one_line(uneven, tmp_path, name, labels):
    """Weights per example and another run's difficulty need no classes."""
    split = replace(uneven, labels=labels)
    if name == "weighted":
        np.save(tmp_path / "weights.npy", np.arange(98.0))
        sampler = build(
            node_of("sampler", name) | {"weights": str(tmp_path / "weights.npy")},
            "sampler",
            Sampler,
        )
    elif name == "trim_hardest":
        store = DifficultyStore(tmp_path / "examples", 98, (), torch.device("cpu"))
        store.describe(ids=split.ids)
        store.add(split.ids, {"loss": torch.arange(49.0)})
        store.flush(0)
        sampler = build(node_of("sampler", name) | {"reference": str(tmp_path)}, "sampler", Sampler)
    else:
        sampler = sampler_of(name, split, tmp_path)
    if name in {"class_balanced", "label_shuffle", "oversample", "smote", "undersample"}:
        with pytest.raises(ValueError, match=r"\A[^\n]*by class[^\n]*\Z"):
            sampler.rows(split, np.random.default_rng(3))
    else:
        ids, shares = sampler.rows(split, np.random.default_rng(3))
        assert shares is None
        assert set(ids.tolist()) <= set(split.ids.tolist())
        # 4.9 of 49 are left out, or 0.3 of them
        assert len(ids) == {"trim_hardest": 44, "prune": 34}.get(name, 49)
