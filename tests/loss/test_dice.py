import itertools

import pytest
import torch
import torch.nn.functional as F

from trainer.loss.dice import Dice

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 4, 5, 6, generator=RNG, dtype=torch.float64)
MASKS = torch.randint(0, 3, (3, 5, 6), generator=RNG)  # class 3 is absent
MASKS[1] = MASKS[1].clamp(max=1)  # class 2 is absent from the second mask
IGNORED = MASKS.masked_fill(torch.rand(3, 5, 6, generator=RNG) < 0.3, 255)


def dice(*, ignore: int | None = 255, **settings) -> Dice:
    """A Dice loss that ignores the label 255, or `ignore`."""
    loss = Dice(**settings)
    loss.ignore_index = ignore
    return loss


def slow(
    logits, masks, *, form="softmax", smooth=1.0, background=True, absent="count"
) -> torch.Tensor:
    """The loss of images [b] with common sums, pixel by pixel."""
    losses = []
    for c in range(0 if background else 1, logits.shape[1]):
        overlap = predicted = true = 0.0
        for image, y, x in itertools.product(*map(range, masks.shape)):
            if masks[image, y, x] == 255:
                continue
            pixel = logits[image, :, y, x]
            p = pixel.softmax(0)[c] if form == "softmax" else pixel[c].sigmoid()
            hit = float(masks[image, y, x] == c)
            overlap, predicted, true = overlap + p * hit, predicted + p, true + hit
        if true or absent == "count":
            losses.append(1 - (2 * overlap + smooth) / (predicted + true + smooth))
    return torch.stack(losses).mean() if losses else torch.zeros((), dtype=torch.float64)


def test_by_hand():
    """Σxy, Σx, Σy are 0.5, 0.75, 1 for class 0 and 0.75, 1.25, 1 for class 1."""
    logits = torch.tensor([[[[0.25, 0.5]], [[0.75, 0.5]]]]).log()
    masks = torch.tensor([[[1, 0]]])
    value = Dice().score(logits, masks).item()
    assert value == pytest.approx(1 - ((1 + 1) / 2.75 + (1.5 + 1) / 3.25) / 2)
    foreground = Dice(background=False, smooth=0.0).score(logits, masks).item()
    assert foreground == pytest.approx(1 - 1.5 / 2.25)
    sigmoid = Dice(form="sigmoid", background=False).score(logits.exp().logit(), masks).item()
    assert sigmoid == pytest.approx(value * 2 - (1 - 2 / 2.75))


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("absent", ["count", "skip"])
def test_against_a_slow_loop(form, background, absent):
    settings = {"form": form, "background": background, "absent": absent, "smooth": 0.5}
    losses = dice(**settings).score(LOGITS, IGNORED)
    pairs = zip(LOGITS.split(1), IGNORED.split(1), strict=True)
    torch.testing.assert_close(losses, torch.stack([slow(z, y, **settings) for z, y in pairs]))
    whole = dice(batch=True, **settings).score(LOGITS, IGNORED)
    torch.testing.assert_close(whole, slow(LOGITS, IGNORED, **settings).expand(3))


@pytest.mark.parametrize("background", [True, False])
def test_hard_predictions_equal_torchmetrics(background):
    """The Dice score of index maps, where every class is present or predicted."""
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation")
    masks, predicted = MASKS[::2], MASKS[::2].roll(1, -1)
    logits = 1e3 * F.one_hot(predicted, 3).movedim(-1, 1).double()
    expected = segmentation.dice_score(
        predicted, masks, num_classes=3, include_background=background, input_format="index"
    )
    losses = Dice(smooth=0.0, background=background).score(logits, masks)
    torch.testing.assert_close(losses, 1 - expected, check_dtype=False)


def test_any_memory_layout():
    """`.view` would fail on a transposed mask or read its pixels in another order."""
    logits, masks = LOGITS.mT, IGNORED.mT
    assert not logits.is_contiguous()
    assert not masks.is_contiguous()
    for batch in (False, True):
        expected = dice(batch=batch).score(logits.contiguous(), masks.contiguous())
        torch.testing.assert_close(dice(batch=batch).score(logits, masks), expected)


def test_an_absent_class_by_hand():
    """Four pixels of class 0 with p = 0.9 and 0.1: 1 − 1 / (0.4 + 1) for class 1, or nothing."""
    p = torch.tensor([0.9, 0.1]).log().reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    masks = torch.zeros(1, 2, 2, dtype=torch.long)
    present = 1 - (2 * 3.6 + 1) / (3.6 + 4 + 1)
    assert Dice().score(p, masks).item() == pytest.approx((present + 1 - 1 / 1.4) / 2)
    assert Dice(absent="skip").score(p, masks).item() == pytest.approx(present, rel=1e-5)
    assert Dice(smooth=0.0).score(p, masks).item() == pytest.approx((1 - 7.2 / 7.6 + 1) / 2)
    assert Dice(absent="skip", background=False).score(p, masks).item() == 0


def test_ignored_pixels_do_not_enter_the_sums():
    """Ignored columns have no effect, regardless of the outputs there."""
    masks = MASKS.clone()
    masks[:, :, 4:] = 255
    logits = LOGITS.clone().requires_grad_()
    losses = dice().score(logits, masks)
    torch.testing.assert_close(losses, Dice().score(LOGITS[..., :4], MASKS[..., :4]))
    losses.sum().backward()
    assert (logits.grad[..., 4:] == 0).all()
    zeroed = Dice().score(LOGITS, masks.where(masks < 255, 0))
    assert not torch.allclose(losses, zeroed, rtol=1e-3), "ignored pixels do not count as class 0"


@pytest.mark.parametrize("smooth", [0.0, 1.0])
@pytest.mark.parametrize("batch", [False, True])
def test_a_fully_ignored_image_does_not_count(smooth, batch):
    masks = IGNORED.clone()
    masks[1] = 255
    loss = dice(smooth=smooth, batch=batch)
    logits = LOGITS.float().requires_grad_()
    losses = loss.score(logits, masks)
    losses.sum().backward()
    assert losses[1] == 0
    assert logits.grad.isfinite().all()
    assert loss.count(masks).tolist() == [1, 0, 1]
    rest = loss.score(LOGITS[::2].float(), masks[::2])
    torch.testing.assert_close(losses.sum() / loss.count(masks).sum(), rest.mean())


def test_the_batch_loss_is_that_of_concatenated_images():
    """Σℓ / Σcount equals the loss of the images placed side by side, and so does its gradient."""
    side = LOGITS.transpose(0, 1).reshape(1, 4, 15, 6).clone().requires_grad_()
    one = dice().score(side, IGNORED.reshape(1, 15, 6))
    one.sum().backward()
    logits = LOGITS.clone().requires_grad_()
    loss = dice(batch=True)
    mean = loss.score(logits, IGNORED).sum() / loss.count(IGNORED).sum()
    mean.backward()
    torch.testing.assert_close(mean, one[0])
    torch.testing.assert_close(logits.grad.transpose(0, 1).reshape(side.shape), side.grad)
    assert loss.whole_batch
    assert not dice().whole_batch


def test_eval_mode_scores_each_image_separately():
    loss = dice(batch=True).eval()
    assert torch.equal(loss.score(LOGITS, IGNORED), dice().score(LOGITS, IGNORED))
    assert not torch.allclose(loss.train().score(LOGITS, IGNORED), dice().score(LOGITS, IGNORED))


@pytest.mark.parametrize("setting", ["form", "smooth", "batch", "background", "absent"])
def test_every_setting_has_an_effect(setting):
    other = {"form": "sigmoid", "smooth": 0.1, "batch": True, "background": False, "absent": "skip"}
    losses = dice(**{setting: other[setting]}).score(LOGITS, MASKS)
    assert not torch.allclose(losses, dice().score(LOGITS, MASKS))


def test_perfect_predictions_have_zero_loss():
    logits = 100 * F.one_hot(MASKS, 4).movedim(-1, 1).double()
    assert dice().score(logits, MASKS).abs().max() < 1e-9
    assert dice(form="sigmoid").score(logits - 50, MASKS).abs().max() < 1e-9


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("batch", [False, True])
def test_gradient(form, batch):
    logits = LOGITS[..., :2, :3].clone().requires_grad_()
    loss = dice(form=form, batch=batch)
    assert torch.autograd.gradcheck(lambda z: loss.score(z, IGNORED[..., :2, :3]), logits)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_extreme_logits_are_finite(form, smooth):
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = dice(form=form, smooth=smooth).score(logits, IGNORED)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.smooth must be in \[0, inf\), got -1"):
        Dice(smooth=-1.0)
