"""Properties that all mixers share."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import fitted

from trainer.core.batch import Batch, contract
from trainer.core.duration import Clock
from trainer.core.seed import Purpose, StepId
from trainer.loss.cross_entropy import CrossEntropy
from trainer.mixer.base import Mixer
from trainer.mixer.chain import Chain
from trainer.mixer.cutmix import Cutmix
from trainer.mixer.mixup import Mixup
from trainer.mixer.none import NoMixer
from trainer.mixer.random_choice import RandomChoice
from trainer.mixer.ricap import Ricap

CLOCK = Clock(steps_per_epoch=10, total=50)


def nested() -> Mixer:
    inner = Chain(mixers={"ricap": Ricap(per_image=True), "cutmix": Cutmix(per_image=True)})
    return Chain(mixers={"mixup": Mixup(), "inner": inner})


MIXERS: dict[str, Mixer] = {
    "mixup": Mixup(),
    "mixup-each": Mixup(per_image=True),
    "cutmix": Cutmix(),
    "cutmix-each": Cutmix(per_image=True),
    "ricap": Ricap(),
    "ricap-each": Ricap(per_image=True),
    "choice": RandomChoice(mixers={"mixup": Mixup(), "cutmix": Cutmix(), "ricap": Ricap()}),
    "mixup-cutmix": Chain(mixers={"mixup": Mixup(), "cutmix": Cutmix()}),
    "cutmix-cutmix": Chain(mixers={"one": Cutmix(), "two": Cutmix(per_image=True)}),
    "cutmix-ricap": Chain(mixers={"cutmix": Cutmix(), "ricap": Ricap(beta=1.0)}),
    "nested": nested(),
}
EVERY = pytest.mark.parametrize("mixer", MIXERS.values(), ids=MIXERS)


def of_examples(mixed: Batch, size: int) -> torch.Tensor:
    """The share of each example in each row, [B, size]."""
    return torch.zeros(len(mixed), size).scatter_add(1, mixed.index, mixed.shares)


@EVERY
@pytest.mark.parametrize("size", [8, 3, 1])
def test_shares_are_fractions_of_the_pixels(owned, mixer: Mixer, size: int) -> None:
    """Also in a chain, where a box may be cut from an image that is already mixed."""
    for step in range(12):
        mixed = mixer(owned(size), StepId(1, 0, step))
        assert torch.equal(mixed.labels, mixed.index + 100)
        pixels = mixed.images.mean((2, 3))
        torch.testing.assert_close(of_examples(mixed, size), pixels, atol=1e-6, rtol=0)
        torch.testing.assert_close(mixed.shares.sum(1), torch.ones(size), atol=1e-6, rtol=0)


@EVERY
def test_the_mix_depends_only_on_seed_and_step(owned, mixer: Mixer) -> None:
    moments = [StepId(0, 0, 5), StepId(0, 9, 5), StepId(0, 0, 6), StepId(1, 0, 5)]
    first, again, *others = [mixer(owned(16), step_id) for step_id in moments]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.shares, again.shares)
    assert not any(torch.equal(first.index, other.index) for other in others)


@EVERY
def test_a_slice_of_rows_is_mixed_like_the_whole_batch(located, mixer: Mixer) -> None:
    """A process draws for the global batch and loads the partners of its own rows by position."""
    batch = replace(located(8), labels=torch.arange(8)[:, None])
    step_id = StepId(0, 0, 5)
    whole = mixer(batch, step_id)
    drawing = mixer.decide(8, (6, 9), step_id.generator(Purpose.MIX), step_id)
    for rows in (slice(0, 3), slice(3, 8)):
        mine = drawing.select(rows)
        part = mixer.mix([batch.select(rows), *map(batch.select, mine.partners)], mine)
        for name in ("images", "labels", "shares", "index", "weight"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), name


@EVERY
def test_the_weight_is_the_product_of_the_parts(owned, mixer: Mixer) -> None:
    batch = replace(owned(6), weight=torch.arange(1.0, 7), count=torch.arange(6.0))
    mixed = mixer(batch, StepId(0, 0, 5))
    torch.testing.assert_close(mixed.weight, (mixed.index + 1.0).prod(1))
    assert torch.equal(mixed.count, batch.count)


@EVERY
def test_the_batch_is_not_changed_in_place(located, mixer: Mixer) -> None:
    batch = replace(located(5), labels=torch.arange(5)[:, None])
    before = batch.images.clone()
    mixer(batch, StepId(0, 0, 5))
    assert torch.equal(batch.images, before)


@EVERY
def test_the_loss_is_that_of_the_blended_target(owned, mixer: Mixer) -> None:
    """Also for empty patches: a label without pixels adds 0, not NaN."""
    logits = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(12):
        batch = owned(8)
        mixed = mixer(replace(batch, labels=batch.index), StepId(1, 0, step))
        loss = contract(lambda labels: CrossEntropy().score(logits, labels), mixed)
        target = of_examples(mixed, 8)
        torch.testing.assert_close(loss, F.cross_entropy(logits, target, reduction="none"))


def test_the_probability_is_the_fraction_of_mixed_batches(owned) -> None:
    mixer, batch = Mixup(probability=0.3), owned(2)
    mixed = [mixer(batch, StepId(0, 0, step)) is not batch for step in range(2000)]
    assert np.mean(mixed) == pytest.approx(0.3, abs=0.03)  # deviation 0.01
    never = Mixup(probability=0.0)
    assert all(never(batch, StepId(0, 0, step)) is batch for step in range(100))


def test_the_probability_does_not_change_the_mixes(owned) -> None:
    """The decision to mix draws one random number, regardless of the probability."""
    always, often = Cutmix(), Cutmix(probability=0.9)
    pairs = [(always(owned(4), m), often(owned(4), m)) for m in (StepId(0, 0, i) for i in range(9))]
    equal = [torch.equal(a.images, b.images) for a, b in pairs if b.labels.shape[1] > 1]
    assert len(equal) > 5
    assert all(equal)


@pytest.mark.parametrize(
    ("until", "epoch", "step", "mixes"),
    [
        (None, 99, 990, True),
        ("2ep", 1, 19, True),
        ("2ep", 2, 20, False),
        ("2ep", 2, 8, False),  # epochs shortened by a miner
        ("2ep", 1, 30, True),  # epochs lengthened by a sampler
        ("0.6run", 2, 29, True),
        ("0.6run", 3, 30, False),
        ("15st", 1, 14, True),
        ("15st", 1, 15, False),
        ("0.5ep", 0, 4, True),
        ("0.5ep", 0, 5, False),
        ("0ep", 0, 0, False),
    ],
)
def test_mixing_ends(owned, until: str | None, epoch: int, step: int, mixes: bool) -> None:
    mixer, batch = Mixup(until=until), owned(4)
    mixer.bind_clock(CLOCK)
    assert (mixer(batch, StepId(0, epoch, step)) is not batch) is mixes


def test_until_needs_a_clock(owned) -> None:
    """Except at the first step, which a preview shows."""
    batch = owned(4)
    assert Mixup(until="1st")(batch, StepId(0, 0, 0)) is not batch
    with pytest.raises(RuntimeError, match=r"mixer\.until=1st .*bind_clock"):
        Mixup(until="1st")(batch, StepId(0, 5, 50))


@pytest.mark.parametrize(
    ("mixer", "targets"),
    [
        (NoMixer(), "class mask vector image"),
        (Mixup(), "class vector image"),
        (Cutmix(), "class mask image"),
        (Ricap(), "class mask image"),
        (Chain(mixers={"mixup": Mixup(), "cutmix": Cutmix()}), "class image"),
        (RandomChoice(mixers={"ricap": Ricap(), "cutmix": Cutmix()}), "class mask image"),
    ],
)
def test_unsupported_targets_are_refused(mixer: Mixer, targets: str) -> None:
    for target in ("class", "mask", "vector", "image"):
        if target in targets.split():
            mixer.bind(target)
            assert mixer.target == target
        else:
            with pytest.raises(ValueError, match=rf"mixer=\w+ cannot mix a {target}"):
                mixer.bind(target)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"mixer\.probability must be in \[0, 1\], got 1\.5"):
        Cutmix(probability=1.5)
    with pytest.raises(ValueError, match=r"mixer\.until must be a duration such as .*, got '3'"):
        Ricap(until="3")


def test_a_run_binds_the_clock_of_all_mixers(tmp_path, owned) -> None:
    settings = ("mixer=random_choice", "mixer.until=1ep", "mixer.mixers.cutmix.until=3st")
    mixer = fitted(tmp_path / "run", *settings).step.mixer
    assert isinstance(mixer, RandomChoice)
    batch = owned(4)
    assert mixer(batch, StepId(0, 1, 8)) is batch
    mixed = [mixer(batch, StepId(0, 0, step)) is not batch for step in range(3, 60)]
    assert 10 < sum(mixed) < 47, "mixup continues after the end of CutMix"
