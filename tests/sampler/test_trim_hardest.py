from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.core.errors import DataError
from trainer.dataset import Split
from trainer.history.store import DifficultyStore
from trainer.mining.hard_example import HardExample
from trainer.sampler.trim_hardest import TrimHardest
from trainer.training.planner import Planner


def recorded_run(folder: Path, split: Split, *epochs: dict[int, float]) -> str:
    """A run folder whose difficulty store has these losses by id, for each epoch."""
    store = DifficultyStore(folder / "examples", len(split.labels), (), torch.device("cpu"))
    store.describe(ids=split.ids, labels=split.labels)
    for number, losses in enumerate(epochs):
        store.add(torch.tensor([*losses]), {"loss": torch.tensor([*losses.values()])})
        store.flush(number)
    return str(folder)


def remaining(split: Split, **options) -> list[int]:
    return sorted(TrimHardest(**options).rows(split, np.random.default_rng(0))[0].tolist())


def test_the_highest_mean_losses_are_left_out(uneven, tmp_path):
    """Means 2, 3, 2.5, 9 and 0: 40 % of 5 examples are the two with means 9 and 3."""
    split = replace(uneven, ids=torch.tensor([40, 3, 17, 8, 25]))
    nan = float("nan")
    first = {40: 4.0, 3: 3.0, 17: 0.0, 8: 9.0, 25: 0.0}
    second = {40: 0.0, 3: nan, 17: 5.0, 25: 0.0}  # 8 was not seen in the second epoch
    reference = recorded_run(tmp_path, split, first, second)
    assert remaining(split, reference=reference, trim=0.4) == [17, 25, 40]
    assert remaining(split, reference=reference, trim=0.0) == [3, 8, 17, 25, 40]
    assert remaining(split, reference=reference, trim=0.1) == [3, 17, 25, 40]


def test_against_a_slow_loop(uneven, tmp_path):
    rng = torch.Generator().manual_seed(0)
    epochs = [
        dict(zip(uneven.ids.tolist(), torch.rand(49, generator=rng).tolist(), strict=True))
        for _ in range(3)
    ]
    mean = {i: sum(epoch[i] for epoch in epochs) / 3 for i in uneven.ids.tolist()}
    slow = sorted(mean, key=mean.__getitem__)[:44]
    assert remaining(uneven, reference=recorded_run(tmp_path, uneven, *epochs), trim=0.1) == sorted(
        slow
    )


def test_examples_the_reference_run_did_not_train_on_stay(uneven, tmp_path):
    """Another seed gave that run another validation split."""
    theirs = replace(uneven, ids=uneven.ids[:40])
    losses = dict.fromkeys(theirs.ids.tolist(), 1.0) | {int(theirs.ids[7]): 2.0}
    reference = recorded_run(tmp_path, theirs, losses)
    expected = sorted(set(uneven.ids.tolist()) - {int(theirs.ids[7])})
    assert remaining(uneven, reference=reference, trim=0.02) == expected


def test_a_miner_does_not_draw_trimmed_examples(uneven, tmp_path):
    """The hardest examples of noisy data are mislabelled; hard_example would draw them again."""
    losses = {number: float(place) for place, number in enumerate(uneven.ids.tolist())}
    sampler = TrimHardest(reference=recorded_run(tmp_path, uneven, losses), trim=0.2)
    miner = HardExample(keep=0.1, warmup_epochs=0)
    planner = Planner(uneven, sampler, miner, seed=0, batch_size=8, epochs=2, warn=pytest.fail)
    planner.refresh(0, lambda ids: torch.tensor([losses[i] for i in ids.tolist()]))
    plan = planner.plan(0)
    assert (plan.count == 0).sum() == 39
    assert {losses[i] for i in plan.ids[plan.count == 0][:, 0].tolist()} == {
        35,
        36,
        37,
        38,
    }


def test_the_difficulty_store_is_read_once(uneven, tmp_path):
    losses = dict.fromkeys(uneven.ids.tolist(), 1.0)
    sampler = TrimHardest(reference=recorded_run(tmp_path, uneven, losses))
    first, _ = sampler.rows(uneven, np.random.default_rng(0))
    (tmp_path / "examples" / "meta.json").unlink()
    second, _ = sampler.rows(uneven, np.random.default_rng(0))
    assert torch.equal(first, second)


def test_an_unsuitable_reference_run_is_rejected(uneven, tmp_path):
    with pytest.raises(DataError, match=r"sampler\.reference=.*: .* no readable difficulty"):
        remaining(uneven, reference=str(tmp_path / "nowhere"))
    reference = recorded_run(tmp_path / "empty", uneven)
    with pytest.raises(DataError, match=r"no readable difficulty store|no losses"):
        remaining(uneven, reference=reference)
    other = recorded_run(
        tmp_path / "other",
        replace(uneven, labels=uneven.labels.flip(0)),
        dict.fromkeys(uneven.ids.tolist(), 1.0),
    )
    with pytest.raises(DataError, match=r"sampler\.reference=.* other examples or labels"):
        remaining(uneven, reference=other)


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"sampler\.trim must be in \[0, 1\), got 1\.0"):
        TrimHardest(reference="x", trim=1.0)
