from dataclasses import replace

import numpy as np
import pytest
import torch

from trainer.core.seed import Purpose, StepId
from trainer.mixer.base import Drawing
from trainer.mixer.ricap import Ricap


def drawn(ricap: Ricap, size: int, image: tuple[int, int], step: int) -> Drawing:
    step_id = StepId(0, 0, step)
    return ricap.draw(size, image, step_id.generator(Purpose.MIX), step_id)


def by_loops(images: torch.Tensor, drawing: Drawing) -> torch.Tensor:
    """The paper's figure: four crops, each pasted into its corner."""
    out = torch.full_like(images, -1)
    height, width = images.shape[-2:]
    partners = [torch.arange(len(images)), *drawing.partners]
    for b in range(len(images)):
        h, w = drawing.values["corner"][b].tolist()
        tops, lefts = (0, 0, h, h), (0, w, 0, w)
        bottoms, rights = (h, h, height, height), (w, width, w, width)
        for k, (top, left, bottom, right) in enumerate(zip(tops, lefts, bottoms, rights, strict=1)):
            y, x = (drawing.values["shift"][b, k] + torch.tensor([top, left])).tolist()
            assert 0 <= y <= height - (bottom - top)
            assert 0 <= x <= width - (right - left)
            crop = images[partners[k][b], :, y : y + bottom - top, x : x + right - left]
            out[b, :, top:bottom, left:right] = crop
    return out


@pytest.mark.parametrize("per_image", [False, True])
def test_equals_the_loop_over_crops(located, per_image: bool) -> None:
    ricap, batch = Ricap(beta=0.6, per_image=per_image), located(7)
    for step in range(30):
        drawing = drawn(ricap, 7, (6, 9), step)
        mixed = ricap.mix([batch, *map(batch.select, drawing.partners)], drawing)
        assert torch.equal(mixed.images, by_loops(batch.images, drawing))


def test_shares_by_hand(owned) -> None:
    """The patches meet at row 2 of 6 and column 6 of 9: areas 2·6, 2·3, 4·6, 4·3 of 54."""
    values = {
        "corner": torch.tensor([[2, 6]]).expand(4, 2),
        "shift": torch.tensor([[0, 0], [1, -6], [-2, 2], [0, 0]]).expand(4, 4, 2),
        "share": (torch.tensor([[12, 6, 24, 12]]) / 54).expand(4, 4),
    }
    drawing = Drawing([torch.arange(4).roll(-k) for k in (1, 2, 3)], values)
    batch = owned(4)
    mixed = Ricap().mix([batch, *map(batch.select, drawing.partners)], drawing)
    assert mixed.index[0].tolist() == [0, 1, 2, 3]
    owner = mixed.images[0].argmax(0)
    assert owner[1, 5] == 0
    assert owner[1, 6] == 1
    assert owner[2, 5] == 2
    assert owner[2, 6] == 3
    torch.testing.assert_close(mixed.shares[0], mixed.images[0].mean((1, 2)))
    by_draw = drawn(Ricap(), 4, (6, 9), 0)
    h, w = by_draw.values["corner"][0].tolist()
    areas = torch.tensor([h * w, h * (9 - w), (6 - h) * w, (6 - h) * (9 - w)])
    torch.testing.assert_close(by_draw.values["share"][0], areas / 54)


def test_the_corner_has_a_beta_distribution() -> None:
    """Beta(0.3, 0.3) has mean 1/2 and variance 1 / (4(2·0.3 + 1)): mostly near the border."""
    corner = drawn(Ricap(per_image=True), 20000, (1000, 500), 0).values["corner"].double()
    share = corner / torch.tensor([1000, 500])
    assert share.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert share.var(0).tolist() == pytest.approx([1 / 6.4, 1 / 6.4], abs=0.004)
    assert np.corrcoef(share.T)[0, 1] == pytest.approx(0, abs=0.03)


def test_an_empty_patch_has_share_0(owned) -> None:
    """With a small β the corner is at the border: one patch is the whole image."""
    ricap, batch = Ricap(beta=0.01), owned(5)
    seen = set()
    for step in range(40):
        mixed = ricap(batch, StepId(0, 0, step))
        assert torch.equal(mixed.images.sum(1), torch.ones(5, 6, 9))
        if mixed.shares.amax() == 1:
            whole = int(mixed.shares[0].argmax())
            assert mixed.shares[0].count_nonzero() == 1
            assert torch.equal(mixed.images.mean((2, 3)).argmax(1), mixed.index[:, whole])
            seen.add(whole)
    assert seen == {0, 1, 2, 3}


def test_masks_are_patched_like_the_images(located) -> None:
    batch, ricap = located(4), Ricap(beta=1.0, per_image=True)
    ricap.bind("mask")
    mixed = ricap(batch, StepId(0, 0, 3))
    assert torch.equal(mixed.labels, mixed.images.long())
    own = (mixed.labels // 54 == torch.arange(4)[:, None, None, None]).float().mean((1, 2, 3))
    torch.testing.assert_close(mixed.shares[:, 0], own)
    assert mixed.shares.shape == mixed.index.shape == (4, 1)


def test_image_targets_are_patched_like_the_images(located) -> None:
    batch, ricap = located(4), Ricap(beta=1.0, per_image=True)
    batch = replace(batch, labels=batch.images[:, None].repeat(1, 1, 3, 1, 1))
    ricap.bind("image")
    mixed = ricap(batch, StepId(0, 0, 3))
    assert torch.equal(mixed.labels[:, 0, 2], mixed.images[:, 0])


def test_one_corner_per_batch_or_per_image() -> None:
    assert len(drawn(Ricap(), 16, (32, 32), 3).values["corner"].unique(dim=0)) == 1
    assert len(drawn(Ricap(per_image=True), 16, (32, 32), 3).values["corner"].unique(dim=0)) > 8


def test_beta_is_checked() -> None:
    with pytest.raises(ValueError, match=r"mixer\.beta must be in \(0, inf\), got 0"):
        Ricap(beta=0.0)
