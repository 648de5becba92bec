from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.core.errors import DataError
from trainer.dataset import Split
from trainer.history.store import DifficultyStore
from trainer.sampler.prune import Prune

FIELDS = ("confidence", "correct", "logit_margin", "el2n")


def recorded_run(folder: Path, split: Split, epochs: int = 3) -> tuple[str, dict[int, float]]:
    """A run folder with random records of a split, and the el2n of its last epoch by id."""
    rng = torch.Generator().manual_seed(0)
    store = DifficultyStore(folder / "examples", len(split.labels), FIELDS, torch.device("cpu"))
    store.describe(ids=split.ids, labels=split.labels)
    for number in range(epochs):
        records = {n: torch.rand(len(split), generator=rng) for n in ("loss", *FIELDS)}
        records["correct"] = records["correct"].round()
        records["el2n"] = records["el2n"].half().float()
        store.add(split.ids, records)
        store.flush(number)
    return str(folder), dict(zip(split.ids.tolist(), records["el2n"].tolist(), strict=True))


def kept(split: Split, *, seed: int = 0, **options) -> list[int]:
    sampler = Prune(seed, **options)
    rows = sampler.rows(split, np.random.default_rng(3))[0].tolist()
    assert rows != sorted(rows)
    assert sorted(rows) == sorted(sampler.ids(split).tolist())
    return sorted(rows)


def test_the_highest_scores_are_kept(uneven, tmp_path):
    """0.7 · 49 = 34.3 examples, after the 0.1 · 49 = 4.9 highest are left out."""
    reference, el2n = recorded_run(tmp_path, uneven)
    hardest = sorted(el2n, key=lambda i: -el2n[i])
    assert kept(uneven, reference=reference) == sorted(hardest[:34])
    assert kept(uneven, reference=reference, cutoff=0.1) == sorted(hardest[5:39])
    assert kept(uneven, reference=reference, keep=0.9, cutoff=0.1) == sorted(hardest[5:])


def test_strata_cover_the_range_of_the_scores(uneven, tmp_path):
    reference, el2n = recorded_run(tmp_path, uneven)
    part = kept(uneven, reference=reference, keep=0.2, strata=5, cutoff=0.2)
    rest = sorted(el2n.values())[:39]  # 0.2 · 49 = 9.8 are left out
    low, width = rest[0], rest[-1] - rest[0]
    strata = [min(int((el2n[i] - low) / width * 5), 4) for i in part]
    assert len(part) == 10
    assert [strata.count(s) for s in range(5)] == [2] * 5
    assert part != kept(uneven, seed=1, reference=reference, keep=0.2, strata=5, cutoff=0.2)


@pytest.mark.parametrize("by", ["el2n", "forgetting", "aum", "dyn_unc", "dual", "random"])
def test_every_score_keeps_as_many(uneven, tmp_path, by):
    reference, _ = recorded_run(tmp_path, uneven)
    assert len(kept(uneven, reference=reference, by=by, window=2, keep=0.5)) == 25


def test_random_needs_no_reference_and_depends_on_the_seed_alone(uneven):
    assert kept(uneven, by="random") == kept(uneven, by="random")
    assert kept(uneven, by="random") != kept(uneven, by="random", seed=1)


def test_of_examples_without_a_record_as_large_a_part_is_kept(uneven, tmp_path):
    """Another seed gave that run another validation split."""
    theirs = replace(uneven, ids=uneven.ids[:29])
    reference, el2n = recorded_run(tmp_path, theirs)
    part = set(kept(uneven, reference=reference, keep=0.5))
    hardest = sorted(el2n, key=lambda i: -el2n[i])
    assert len(part) == 25
    assert part & set(el2n) == set(hardest[:15])
    assert len(part - set(el2n)) == 10, "half of 20"
    said = []
    Prune(0, said.append, reference=reference, keep=0.5).ids(uneven)
    assert said == [
        f"sampler.reference={reference} has no records of 20 of the 49 training examples; as large "
        "a part of them is kept at random"
    ]


def test_classes_that_are_not_kept_are_counted(uneven):
    said = []
    Prune(0, said.append, by="random", keep=0.5).ids(uneven)
    assert said == []
    one = Prune(0, said.append, by="random", keep=0.01)
    one.ids(uneven)
    one.ids(uneven)
    number = len(uneven.labels[uneven.ids].unique())
    assert said == [
        f"sampler.keep=0.01 keeps no example of {number - 1} of the {number} classes; raise it, or "
        "set sampler.strata"
    ]


def test_an_unsuitable_reference_run_is_rejected(uneven, tmp_path):
    reference, _ = recorded_run(tmp_path / "run", uneven)
    other = replace(uneven, labels=uneven.labels.flip(0))
    with pytest.raises(DataError, match=r"sampler\.reference=.* other examples or labels"):
        kept(other, reference=reference)
    with pytest.raises(DataError, match=r"sampler\.reference=.*windows of 10 .* there are 3"):
        kept(uneven, reference=reference, by="dual")
    empty, _ = recorded_run(tmp_path / "two", replace(uneven, ids=uneven.ids[:2]))
    with pytest.raises(DataError, match=r"sampler\.reference=.* no records of these examples"):
        kept(replace(uneven, ids=uneven.ids[5:]), reference=empty)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "random", "keep": 0.0}, r"sampler\.keep must be in \(0, 1\], got 0\.0"),
        (
            {"reference": "r", "cutoff": 0.4},
            r"sampler\.keep must be at most .*cutoff=0\.4, got 0\.7",
        ),
        ({"by": "aum"}, r"sampler\.reference must be given with sampler\.by=aum"),
        ({"by": "random", "strata": 5}, r"sampler\.by=random has no scores: leave out strata"),
        ({"by": "random", "window": 1}, r"sampler\.window must be in \[2, inf\), got 1"),
        ({"by": "random", "epochs": 0}, r"sampler\.epochs must be in \[1, inf\), got 0"),
    ],
)
def test_bad_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Prune(**options)
