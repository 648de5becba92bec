"""Every example once, in random order."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from trainer.core.seed import Purpose, generator
from trainer.dataset import Split
from trainer.sampler.shuffle import Shuffle


def test_a_permutation_of_the_ids_by_the_generator(noise: Callable[..., Split]) -> None:
    """The generator permutes positions in the split, not dataset ids."""
    split = replace(noise(50), ids=torch.tensor([40, 3, 17, 8, 25]))
    ids, shares = Shuffle().rows(split, np.random.default_rng(7))
    order = np.random.default_rng(7).permutation(5)
    assert ids.tolist() == [[40, 3, 17, 8, 25][p] for p in order]
    assert shares is None


def test_the_order_depends_on_seed_and_epoch_alone(noise: Callable[..., Split]) -> None:
    split = noise(50)

    def rows(seed: int, epoch: int) -> list[int]:
        return Shuffle().rows(split, generator(seed, Purpose.PLAN, epoch))[0].tolist()

    assert sorted(rows(0, 0)) == list(range(50))
    assert rows(0, 0) == generator(0, Purpose.PLAN, 0).permutation(50).tolist()
    assert rows(0, 0) != rows(0, 1)
    assert rows(0, 0) != rows(1, 0)
    assert rows(0, 0) != list(range(50))


def test_every_example_is_equally_likely_to_come_first(noise: Callable[..., Split]) -> None:
    """Each of 4 examples comes first in a quarter of 3000 epochs."""
    split = noise(4)
    first = [
        int(Shuffle().rows(split, generator(0, Purpose.PLAN, epoch))[0][0]) for epoch in range(3000)
    ]
    assert np.bincount(first).min() > 660  # 750 expected, deviation 24
