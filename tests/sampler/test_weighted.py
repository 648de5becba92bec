import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import WeightedRandomSampler

from trainer.core.errors import DataError
from trainer.sampler.weighted import Weighted


def p_of(split, weights) -> torch.Tensor:
    return torch.from_numpy(Weighted(weights=weights).prepare(split))


def test_balanced_weights_by_hand(uneven):
    """An example of a class of 30, 12 or 7 has probability 1 / 90, 1 / 36 or 1 / 21."""
    expected = torch.tensor([1 / 90, 1 / 36, 1 / 21], dtype=torch.float64)
    torch.testing.assert_close(p_of(uneven, "balanced"), expected[uneven.labels[uneven.ids]])


def test_a_list_has_a_weight_per_class(uneven):
    """Weights 1, 0, 2 of 30, 12 and 7 examples: 1 / 44, 0 and 2 / 44 each."""
    expected = torch.tensor([1, 0, 2], dtype=torch.float64) / 44
    torch.testing.assert_close(p_of(uneven, [1.0, 0, 2]), expected[uneven.labels[uneven.ids]])


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_a_file_has_a_weight_per_dataset_id(uneven, tmp_path: Path, suffix):
    """Not per position: the n-th weight is not that of the split's n-th example."""
    table = np.arange(98) / 7
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npy":
        np.save(path, table)
    else:
        lines = [f"{i},x,{table[i]}" for i in uneven.ids.tolist()]
        path.write_text("\n".join(["id,note,weight", *lines]) + "\n")
    expected = torch.from_numpy(table)[uneven.ids]
    torch.testing.assert_close(p_of(uneven, str(path)), expected / expected.sum())


def test_draws_are_proportional_to_weights_with_replacement(uneven):
    """Counts of ours and of torch's sampler are within five deviations of the multinomial's."""
    sampler, rng = Weighted(weights=[1.0, 0, 2]), np.random.default_rng(0)
    drawn = torch.cat([sampler.rows(uneven, rng)[0] for _ in range(400)])
    assert len(drawn) == 400 * 49
    p = torch.from_numpy(sampler.prepared(uneven))
    expected = torch.zeros(98, dtype=torch.float64)
    expected[uneven.ids] = p * 400 * 49
    counts = drawn.bincount(minlength=98).double()
    assert ((counts - expected).abs() <= 5 * expected.sqrt()).all()
    seeded = torch.Generator().manual_seed(0)
    theirs = WeightedRandomSampler(p.tolist(), 400 * 49, generator=seeded)
    other = uneven.ids[torch.tensor(list(theirs))].bincount(minlength=98).double()
    assert ((other - expected).abs() <= 5 * expected.sqrt()).all()
    assert set(sampler.ids(uneven).tolist()) == set(drawn.tolist())
    first = sampler.rows(uneven, rng)[0]
    assert len(first.unique()) < len(first)


def test_bad_settings_are_named(uneven):
    with pytest.raises(ValueError, match=r"sampler\.weights must be in \[0, inf\)"):
        Weighted(weights=[1.0, -1])
    with pytest.raises(ValueError, match=r"sampler\.weights must be balanced, .* got balance$"):
        Weighted(weights="balance")
    with pytest.raises(ValueError, match=r"sampler\.weights has 2 values for 3 classes"):
        Weighted(weights=[1.0, 1]).prepare(uneven)
    with pytest.raises(ValueError, match=r"all examples .* 0"):
        Weighted(weights=[0.0, 0, 0]).prepare(uneven)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("id,weight\n1,1\n", "no column or id"),
        ("id,weight\n1,one\n", "cannot be read"),
        ("id,weight\n" + "1" * 200_000 + ",1\n", "cannot be read"),
        ("number,weight\n1,1\n", "no column or id 'id'"),
        ("id,weight\n" + "".join(f"{i},-1\n" for i in range(98)), ">= 0"),
        ("id,weight\n" + "".join(f"{i},nan\n" for i in range(98)), ">= 0"),
    ],
)
def test_a_bad_weight_file_is_named(uneven, tmp_path: Path, text, message):
    path = tmp_path / "weights.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=r"sampler\.weights=.*weights\.csv.*" + message):
        Weighted(weights=str(path)).prepare(uneven)


@pytest.mark.parametrize(
    ("array", "message"), [(np.ones(10), "too few rows"), (np.ones((98, 2)), "one finite number")]
)
def test_an_array_of_another_shape_is_rejected(uneven, tmp_path: Path, array, message):
    np.save(tmp_path / "weights.npy", array)
    with pytest.raises(DataError, match=r"sampler\.weights=.*" + message):
        Weighted(weights=str(tmp_path / "weights.npy")).prepare(uneven)


@pytest.mark.parametrize("name", ["weights.csv", "weights.npy"])
def test_neither_a_pipe_nor_an_empty_file_is_waited_for(uneven, tmp_path: Path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=r"cannot be read: .*not a regular file"):
        Weighted(weights=str(tmp_path / name)).prepare(uneven)
    (tmp_path / name).unlink()
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"cannot be read|no column"):
        Weighted(weights=str(tmp_path / name)).prepare(uneven)


def test_a_file_of_excel_has_a_byte_order_mark(uneven, tmp_path: Path):
    text = "\ufeffid,weight\r\n" + "".join(f"{i},{i}\r\n" for i in range(98))
    (tmp_path / "w.csv").write_text(text, encoding="utf-8")
    found = Weighted(weights=str(tmp_path / "w.csv")).prepare(uneven)
    assert found == pytest.approx(uneven.ids.numpy() / uneven.ids.sum().item())
