"""Which examples one strategy gets right and another does not, from difficulty stores."""

import numpy as np
import pytest
import torch

from trainer.history.store import DifficultyStore
from trainer.job.compare.disagreements import Records, data_uri, disagree, records_of
from trainer.job.compare.groups import group_runs
from trainer.job.compare.runs import read_run

NAN = float("nan")


def records(correct, loss=None, prediction=None, labels=(0, 1, 0, 1)):
    number = len(correct)
    return Records(
        np.array(correct, np.float32),
        np.array(prediction or [9] * number, np.float32),
        np.array(loss or [1.0] * number, np.float32),
        np.array(labels),
    )


def test_examples_are_ordered_by_share_of_seeds_then_by_loss():
    """Disagreement on 0 in both seeds, on 1 in one, on 2 in none, on 3 in its only common seed."""
    ours = {0: records([1, 1, 1, 1], [1, 1, 1, 9]), 1: records([1, 1, 1, NAN])}
    base = {0: records([0, 0, 1, 0]), 1: records([0, 1, 1, 0])}
    found = disagree("x", ours, base, 10)
    assert found is not None
    assert [one.id for one in found.gained] == [3, 0, 1]
    assert (found.gains, found.losses, found.lost) == (3, 0, [])
    first, second, third = found.gained
    assert (first.seeds, first.right, first.base_right) == (1, 1, 0)
    assert (second.seeds, second.right, second.base_right) == (2, 2, 0)
    assert (third.right, third.base_right, third.label, third.prediction) == (2, 1, 1, 9)


def test_lost_examples_are_listed_up_to_the_limit():
    ours, base = {0: records([0, 0, 0, 1])}, {0: records([1, 1, 1, 1], [1, 3, 2, 1])}
    found = disagree("x", ours, base, 2)
    assert found is not None
    assert [one.id for one in found.lost] == [1, 2]
    assert (found.losses, found.gains) == (3, 0)


def test_disagreement_in_less_than_half_of_the_seeds_is_ignored():
    ours = {s: records([1, 1, 1, 1]) for s in range(3)}
    base = {0: records([0, 1, 1, 1]), 1: records([1, 1, 1, 1]), 2: records([1, 1, 1, 1])}
    found = disagree("x", ours, base, 9)
    assert found is not None
    assert found.gains == 0


def test_runs_with_other_seeds_or_data_are_not_compared():
    assert disagree("x", {0: records([1, 1, 1, 1])}, {1: records([0, 0, 0, 0])}, 9) is None
    other = records([0, 0, 0, 0], labels=(1, 1, 1, 1))
    assert disagree("x", {0: records([1, 1, 1, 1])}, {0: other}, 9) is None


def test_the_store_is_read_by_dataset_id(make):
    """The latest records of ids 3 and 1; 0 and 2 are not training examples."""
    folder = make("a", 0, 0.9)
    fields = ("correct", "prediction")
    store = DifficultyStore(folder / "examples", 4, fields, torch.device("cpu"))
    store.describe(ids=torch.tensor([3, 1]), labels=torch.tensor([0, 1, 2, 3]))
    for epoch, right in enumerate(([1.0, 1.0], [1.0, 0.0])):
        values = {
            "loss": torch.tensor([0.5, 2.0]),
            "correct": torch.tensor(right),
            "prediction": torch.tensor([3, 2]),
        }
        store.add(torch.tensor([3, 1]), values)
        store.flush(epoch)
    (one,), _ = group_runs([read_run(folder)])
    latest = records_of(one)[0]
    np.testing.assert_array_equal(latest.correct, [NAN, 0, NAN, 1])
    np.testing.assert_array_equal(latest.prediction, [NAN, 2, NAN, 3])
    np.testing.assert_array_equal(latest.loss, [NAN, 2, NAN, 0.5])


@pytest.mark.parametrize("content", [b"", b"{}", b'{"fields": {"loss": "x"}, "examples": 1e9}'])
def test_a_damaged_store_is_skipped(make, content):
    folder = make("a", 0, 0.9)
    (folder / "examples").mkdir()
    (folder / "examples" / "meta.json").write_bytes(content)
    (one,), _ = group_runs([read_run(folder)])
    assert records_of(one) == {}


def test_thumbnails_are_small_png():
    uri = data_uri(np.zeros((1, 8, 8), np.uint8))
    assert uri.startswith("data:image/png;base64,iVBOR")
    assert len(data_uri(np.random.default_rng(0).integers(0, 255, (3, 500, 400), np.uint8))) < 20000
