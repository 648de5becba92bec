import pytest
import torch

from trainer.core.duration import Clock
from trainer.core.seed import Purpose, StepId
from trainer.mixer.chain import Chain
from trainer.mixer.cutmix import Cutmix
from trainer.mixer.mixup import Mixup
from trainer.mixer.ricap import Ricap

MOMENT = StepId(0, 0, 7)


def test_a_chain_equals_its_mixers_in_sequence(located) -> None:
    """With the same random numbers in the same order."""
    mixup, cutmix = Mixup(per_image=True), Cutmix(per_image=True)
    both = Chain(mixers={"mixup": mixup, "cutmix": cutmix})(located(6), MOMENT)
    rng = MOMENT.generator(Purpose.MIX)
    rng.random()  # the chain's own decision to mix
    batch = located(6)
    for mixer in (mixup, cutmix):
        drawing = mixer.decide(6, (6, 9), rng, MOMENT)
        batch = mixer.mix([batch, batch.select(drawing.partners[0])], drawing)
    assert torch.equal(both.images, batch.images)
    assert torch.equal(both.labels, batch.labels)
    assert torch.equal(both.index, batch.index)
    torch.testing.assert_close(both.shares, batch.shares)


def test_labels_multiply(owned) -> None:
    mixers = {"cutmix": Cutmix(), "ricap": Ricap(), "mixup": Mixup()}
    mixed = Chain(mixers=mixers)(owned(5), MOMENT)
    assert mixed.labels.shape == mixed.shares.shape == mixed.index.shape == (5, 16)
    assert mixed.images.shape == (5, 5, 6, 9)


def test_shares_are_measured_and_not_products_of_areas(owned) -> None:
    """A box cut from a mixed image need not contain its labels in proportion to their shares."""
    one, two = Cutmix(), Cutmix(per_image=True)
    mixed = Chain(mixers={"one": one, "two": two})(owned(8), MOMENT)
    rng = MOMENT.generator(Purpose.MIX)
    rng.random()
    first, second = (mixer.decide(8, (6, 9), rng, MOMENT) for mixer in (one, two))
    a, b = first.values["share"][:, None], second.values["share"][:, None]
    product = torch.cat([a * b, (1 - a) * b, a * (1 - b), (1 - a) * (1 - b)], 1)
    assert (mixed.shares - product).abs().max() > 0.05
    for row in range(8):
        for example in range(8):
            pixels = (mixed.images[row, example] == 1).float().mean()
            share = mixed.shares[row][mixed.index[row] == example].sum()
            torch.testing.assert_close(share, pixels)


def test_masks_go_through_the_whole_chain(located) -> None:
    chain = Chain(mixers={"cutmix": Cutmix(), "ricap": Ricap(beta=1.0)})
    chain.bind("mask")
    mixed = chain(located(6), MOMENT)
    assert torch.equal(mixed.labels, mixed.images.long())
    assert mixed.shares.shape == (6, 1)
    assert (mixed.shares < 1).any()
    own = (mixed.labels // 54 == torch.arange(6)[:, None, None, None]).float().mean((1, 2, 3))
    torch.testing.assert_close(mixed.shares[:, 0], own)


def test_each_mixer_has_its_own_probability_and_end(owned) -> None:
    chain = Chain(mixers={"mixup": Mixup(probability=0.5), "ricap": Ricap(until="3ep")})
    chain.bind_clock(Clock(10, 100))
    sizes = [chain(owned(4), StepId(0, s // 10, s)).labels.shape[1] for s in range(60)]
    assert set(sizes[:30]) == {4, 8}
    assert set(sizes[30:]) == {1, 2}


def test_the_chain_ends_as_a_whole(owned) -> None:
    chain = Chain(mixers={"mixup": Mixup()}, until="1ep")
    chain.bind_clock(Clock(10, 100))
    batch = owned(4)
    assert chain(batch, StepId(0, 0, 9)) is not batch
    assert chain(batch, StepId(0, 1, 10)) is batch


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mixer\.mixers must name at least one"):
        Chain(mixers={})
