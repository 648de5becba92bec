from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from trainer.core.seed import Purpose, StepId
from trainer.mixer.base import Drawing
from trainer.mixer.cutmix import Cutmix, clip_intervals

BOX = {"box": torch.tensor([[1, 6, 3, 3]]).expand(4, 4), "share": torch.tensor([5 / 6]).expand(4)}
DRAWING = Drawing([torch.tensor([3, 0, 1, 2])], BOX)  # partners as in torchvision: rolled by one


def boxes(cutmix: Cutmix, size: int, image: tuple[int, int], step: int) -> Drawing:
    step_id = StepId(0, 0, step)
    return cutmix.draw(size, image, step_id.generator(Purpose.MIX), step_id)


def test_a_box_by_hand(owned) -> None:
    """A box of 3 of 6 rows and 3 of 9 columns is 1/6 of the pixels."""
    batch = owned(4)
    mixed = Cutmix().mix([batch, batch.select(DRAWING.partners[0])], DRAWING)
    assert mixed.labels[1].tolist() == [101, 100]
    torch.testing.assert_close(mixed.shares[1], torch.tensor([5 / 6, 1 / 6]))
    expected = torch.zeros(6, 9)
    expected[1:4, 6:9] = 1
    assert torch.equal(mixed.images[1, 0], expected)
    assert torch.equal(mixed.images[1, 1], 1 - expected)


def test_equals_torchvision_on_the_same_box(located) -> None:
    batch, labels = located(4), torch.arange(4)
    theirs = v2.CutMix(num_classes=4)
    params = {"box": (6, 1, 9, 4), "lam_adjusted": 5 / 6, "labels": labels, "batch_size": 4}
    batch = replace(batch, labels=labels[:, None])
    mixed = Cutmix().mix([batch, batch.select(DRAWING.partners[0])], DRAWING)
    assert torch.equal(mixed.images, theirs.transform(batch.images, params))
    target = torch.zeros(4, 4).scatter_add(1, mixed.labels, mixed.shares)
    torch.testing.assert_close(target, theirs.transform(labels, params))


def test_the_share_is_the_area_of_the_clipped_box() -> None:
    """With λ as the share, a box over the border would count for more pixels than it pastes."""
    for step in range(50):
        box, share = (boxes(Cutmix(), 1, (32, 20), step).values[n] for n in ("box", "share"))
        top, left, height, width = box[0].tolist()
        assert 0 <= top <= top + height <= 32
        assert 0 <= left <= left + width <= 20
        assert share.item() == pytest.approx(1 - height * width / 640, abs=1e-7)
    start, length = clip_intervals(np.array([0, 5, 9]), np.array([6, 3, 4]), 10)
    assert start.tolist() == [0, 4, 7]
    assert length.tolist() == [3, 3, 3]


def test_the_area_before_clipping_is_one_minus_lambda() -> None:
    """α = 1: λ is uniform, so the box's sides are √(1 − λ) of the image's, mean 2/3."""
    cutmix = Cutmix(per_image=True)
    drawn = boxes(cutmix, 20000, (1000, 1000), 0).values["box"].double()
    start, length = drawn[:, :2], drawn[:, 2:]
    whole = ((start > 0) & (start + length < 1000)).all(1)
    assert torch.equal(length[whole, 0], length[whole, 1]), "a square image has square boxes"
    # Clipping loses area: E(share) = 1 − E(r − r²/4)², r = √(1 − λ) of density 2r: 0.6694
    r = np.linspace(0, 1, 100001)
    expected = 1 - np.mean((r - r**2 / 4) ** 2 * 2 * r)
    shares = boxes(cutmix, 20000, (1000, 1000), 0).values["share"]
    assert shares.mean().item() == pytest.approx(expected, abs=0.006)
    assert expected - 0.5 > 0.1, "λ has the mean 1/2"


def test_one_box_per_batch_or_per_image() -> None:
    assert len(boxes(Cutmix(), 16, (32, 32), 3).values["box"].unique(dim=0)) == 1
    assert len(boxes(Cutmix(per_image=True), 16, (32, 32), 3).values["box"].unique(dim=0)) > 12


def test_masks_are_pasted_like_the_images(located) -> None:
    batch = located(4)
    cutmix = Cutmix(per_image=True)
    cutmix.bind("mask")
    mixed = cutmix(batch, StepId(0, 0, 3))
    assert torch.equal(mixed.labels, mixed.images.long())
    assert mixed.labels.dtype == torch.int64
    assert mixed.shares.shape == mixed.index.shape == (4, 1)
    own = (mixed.labels // 54 == torch.arange(4)[:, None, None, None]).float().mean((1, 2, 3))
    torch.testing.assert_close(mixed.shares[:, 0], own)


def test_image_targets_are_pasted_like_the_images(located) -> None:
    batch = located(4)
    batch = replace(batch, labels=batch.images[:, None].repeat(1, 1, 3, 1, 1))
    cutmix = Cutmix(per_image=True)
    cutmix.bind("image")
    mixed = cutmix(batch, StepId(0, 0, 3))
    assert mixed.labels.shape == (4, 1, 3, 6, 9)
    assert torch.equal(mixed.labels[:, 0, 1], mixed.images[:, 0])
    assert not torch.equal(mixed.images, batch.images)


def test_alpha_is_checked() -> None:
    with pytest.raises(ValueError, match=r"mixer\.alpha must be in \(0, inf\), got 0"):
        Cutmix(alpha=0.0)
