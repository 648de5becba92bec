"""Blocks of neighbours in random order, the examples of some blocks mixed."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.dataset import Split
from trainer.sampler.block_shuffle import BlockShuffle


def order_of(split: Split, seed: int = 0, **settings: int) -> list[int]:
    rows, shares = BlockShuffle(**settings).rows(split, np.random.default_rng(seed))
    assert shares is None
    return rows.tolist()


@pytest.fixture
def split(noise: Callable[..., Split]) -> Split:
    """The ids 5 to 54."""
    return replace(noise(60, (1, 2, 2)), ids=torch.arange(5, 55))


def test_every_example_comes_once_in_another_order_each_time(split: Split) -> None:
    first, second = (order_of(split, seed, block=4, buffer=3) for seed in (0, 1))
    assert sorted(first) == sorted(second) == list(range(5, 55))
    assert first != second
    assert first == order_of(split, 0, block=4, buffer=3)


def test_a_stretch_of_the_order_has_whole_blocks(split: Split) -> None:
    """50 examples in blocks of 5, two at a time: each ten rows are two blocks, mixed."""
    order = np.array(order_of(split, block=5, buffer=2)) - 5
    for group in order.reshape(5, 10):
        assert np.unique(group // 5, return_counts=True)[1].tolist() == [5, 5]
        assert np.abs(np.diff(group)).max() > 1
    assert sorted({tuple(sorted(set(g // 5))) for g in order.reshape(5, 10)}) != [
        (0, 1),
        (2, 3),
        (4, 5),
        (6, 7),
        (8, 9),
    ]


def test_one_block_of_all_is_a_shuffle_and_blocks_of_one_too(split: Split) -> None:
    """Of 50 examples shuffled, about one stays where it was: more than 10 in 10^7 orders."""
    for settings in ({"block": 100, "buffer": 1}, {"block": 1, "buffer": 100}):
        order = np.array(order_of(split, **settings))
        assert (order == np.arange(5, 55)).sum() < 10


def test_no_examples_and_settings_out_of_range(split: Split) -> None:
    assert order_of(replace(split, ids=torch.arange(0))) == []
    for name in ("block", "buffer"):
        with pytest.raises(ValueError, match=f"sampler.{name}"):
            BlockShuffle(**{name: 0})
