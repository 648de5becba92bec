"""Every example once, in random order."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from trainer.core.seed import Purpose, generator
from trainer.dataset import Split
from trainer.sampler.shuffle import Shuffle


def test_a_permutation_of_the_ids_by_the_generator(noise: Callable[..., Split]) -> None:
    """Position p of the generator's permutation is the p-th id, not the id p."""
    split = replace(noise(50), ids=torch.tensor([40, 3, 17, 8, 25]))
    ids, shares = Shuffle().rows(split, np.random.default_rng(7))
    order = np.random.default_rng(7).permutation(5)
    assert ids.tolist() == [[40, 3, 17, 8, 25][p] for p in order]
    assert shares is None


def test_the_order_depends_on_seed_and_epoch(noise: Callable[..., Split]) -> None:
    split = noise(50)

    def rows(seed: int, epoch: int) -> list[int]:
        return Shuffle().rows(split, generator(seed, Purpose.PLAN, epoch))[0].tolist()

    orders = [rows(0, 0), rows(0, 1), rows(1, 0), list(range(50))]
    assert orders[0] == generator(0, Purpose.PLAN, 0).permutation(50).tolist()
    assert len({tuple(order) for order in orders}) == 4
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_every_position_is_equally_likely(noise: Callable[..., Split]) -> None:
    """Over 3000 epochs of 4 examples each id comes first in a quarter of them."""
    split = noise(4)
    first = [
        int(Shuffle().rows(split, generator(0, Purpose.PLAN, epoch))[0][0]) for epoch in range(3000)
    ]
    assert np.bincount(first).min() > 660  # 750 expected, deviation 24
