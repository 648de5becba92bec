import pytest
import torch
import torch.nn.functional as F

from trainer.loss.dice import Dice
from trainer.loss.dice_cross_entropy import DiceCrossEntropy

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 4, 5, 6, generator=RNG, dtype=torch.float64)
MASKS = torch.randint(0, 3, (3, 5, 6), generator=RNG)
MASKS[0, :4] = 255  # the images have different numbers of pixels that count
MASKS[1, 0] = 255


def ignoring(loss: Dice) -> Dice:
    """The loss, ignoring the label 255."""
    loss.ignore_index = 255
    return loss


def test_by_hand():
    """Dice as in its own test, and −(log 0.75 + log 0.5) / 2."""
    logits = torch.tensor([[[[0.25, 0.5]], [[0.75, 0.5]]]]).log()
    masks = torch.tensor([[[1, 0]]])
    loss = DiceCrossEntropy(dice_weight=2.0, cross_entropy_weight=3.0)
    value = loss.score(logits, masks).item()
    assert value == pytest.approx(2 * 0.2517483 + 3 * (0.2876821 + 0.6931472) / 2)


def test_cross_entropy_is_averaged_per_image():
    """A mean over all pixels of the batch would give the first image a low weight."""
    losses = ignoring(DiceCrossEntropy(dice_weight=0.0)).score(LOGITS, MASKS)
    pairs = zip(LOGITS.split(1), MASKS.split(1), strict=True)
    expected = torch.stack([F.cross_entropy(z, y, ignore_index=255) for z, y in pairs])
    torch.testing.assert_close(losses, expected)
    over_pixels = F.cross_entropy(LOGITS, MASKS, ignore_index=255)
    assert not torch.allclose(losses.mean(), over_pixels, rtol=1e-3)


def test_sigmoid_is_binary_cross_entropy():
    settings = {"form": "sigmoid", "dice_weight": 0.0}
    losses = ignoring(DiceCrossEntropy(**settings)).score(LOGITS, MASKS)
    for z, y, loss in zip(LOGITS, MASKS, losses, strict=True):
        kept = y != 255
        one_hot = F.one_hot(y[kept], 4).double()
        expected = F.binary_cross_entropy_with_logits(z[:, kept].T, one_hot)
        torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
@pytest.mark.parametrize("batch", [False, True])
def test_is_the_weighted_sum(form, batch):
    settings = {"form": form, "batch": batch, "background": False, "absent": "skip", "smooth": 0.5}
    both = ignoring(DiceCrossEntropy(dice_weight=0.7, cross_entropy_weight=0.3, **settings))
    dice = ignoring(Dice(**settings)).score(LOGITS, MASKS)
    cross_entropy = ignoring(DiceCrossEntropy(dice_weight=0.0, form=form)).score(LOGITS, MASKS)
    torch.testing.assert_close(both.score(LOGITS, MASKS), 0.7 * dice + 0.3 * cross_entropy)
    assert both.whole_batch == batch


def test_a_fully_ignored_image_does_not_count():
    masks = MASKS.clone()
    masks[1] = 255
    loss = ignoring(DiceCrossEntropy())
    logits = LOGITS.float().requires_grad_()
    losses = loss.score(logits, masks)
    losses.sum().backward()
    assert losses[1] == 0
    assert logits.grad.isfinite().all()
    assert (logits.grad[masks[:, None].expand_as(logits) == 255] == 0).all()
    assert loss.count(masks).tolist() == [1, 0, 1]


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_gradient(form):
    logits = LOGITS[..., -2:, :3].clone().requires_grad_()
    loss = ignoring(DiceCrossEntropy(form=form))
    assert torch.autograd.gradcheck(lambda z: loss.score(z, MASKS[..., -2:, :3]), logits)


def test_extreme_logits_are_finite():
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = ignoring(DiceCrossEntropy()).score(logits, MASKS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.dice_weight must be in \[0, inf\), got -1"):
        DiceCrossEntropy(dice_weight=-1.0)
    with pytest.raises(ValueError, match=r"loss\.cross_entropy_weight must be in"):
        DiceCrossEntropy(cross_entropy_weight=-1.0)
