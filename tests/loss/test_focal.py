import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from trainer.core.batch import Batch
from trainer.loss import contract
from trainer.loss.focal import Focal

RNG = torch.Generator().manual_seed(0)
LOGITS = torch.randn(12, 5, generator=RNG, dtype=torch.float64)
LABELS = torch.arange(12) % 5
ONE_HOT = F.one_hot(LABELS, 5).double()
FORMS = ["softmax", "sigmoid"]


def gradient_of(loss: Focal, logits: list[float], label: int) -> list[float]:
    z = torch.tensor([logits], requires_grad=True)
    loss.score(z, torch.tensor([label])).sum().backward()
    return z.grad[0].tolist()


def test_by_hand():
    """p_y = 0.3: 0.7² · −log 0.3; sigmoid: a positive with p = 0.9 and a negative with p = 0.2."""
    softmax = Focal().score(torch.tensor([[0.7, 0.3]]).log(), torch.tensor([1])).item()
    assert softmax == pytest.approx(0.49 * 1.2039728)
    sigmoid = Focal(form="sigmoid").score(torch.tensor([[0.9, 0.2]]).logit(), torch.tensor([0]))
    positive, negative = 0.25 * 0.1**2 * 0.1053605, 0.75 * 0.2**2 * 0.2231436
    assert sigmoid.item() == pytest.approx((positive + negative) / 2)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", ["auto", 0.9, None])
def test_sigmoid_equals_torchvision(gamma, alpha):
    """The same α for positives and negatives would agree only at 0.5."""
    ours = Focal(form="sigmoid", gamma=gamma, alpha=alpha).score(LOGITS, LABELS)
    number = {"auto": 0.25, None: -1.0}.get(alpha, alpha)
    expected = sigmoid_focal_loss(LOGITS, ONE_HOT, alpha=number, gamma=gamma).mean(1)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_softmax_of_two_classes_is_the_sigmoid_of_their_difference(gamma):
    labels = LABELS % 2
    row = torch.arange(12)
    difference = LOGITS[row, labels] - LOGITS[row, 1 - labels]
    expected = sigmoid_focal_loss(difference, torch.ones_like(difference), -1, gamma)
    torch.testing.assert_close(Focal(gamma=gamma).score(LOGITS[:, :2], labels), expected)


def test_softmax_against_probabilities():
    """α_y (1 − p_y)^γ · −log p_y, for probabilities far from 0 and 1."""
    alpha = [1.0, 2.0, 0.5, 0.25, 4.0]
    p = LOGITS.softmax(1).gather(1, LABELS[:, None])[:, 0]
    expected = torch.tensor(alpha)[LABELS] * (1 - p) ** 3 * -p.log()
    torch.testing.assert_close(Focal(gamma=3.0, alpha=alpha).score(LOGITS, LABELS), expected)


def test_without_gamma_it_is_cross_entropy():
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    torch.testing.assert_close(Focal(gamma=0.0).score(LOGITS, LABELS), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_gradient(form, gamma):
    logits = LOGITS.clone().requires_grad_()
    loss = Focal(form=form, gamma=gamma)
    assert torch.autograd.gradcheck(lambda z: loss.score(z, LABELS), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_saturated_mistakes_keep_their_gradient(gamma):
    """With log(p) of float32 probabilities it would be 0 (clamped) or NaN at ±50."""
    softmax = gradient_of(Focal(gamma=gamma), [-50.0, 50.0], 0)
    assert softmax == pytest.approx([-1.0, 1.0], rel=1e-4)
    loss = Focal(form="sigmoid", gamma=gamma, alpha=None)
    assert gradient_of(loss, [-50.0, 50.0], 0) == pytest.approx([-0.5, 0.5], rel=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_saturated_correct_predictions_have_zero_gradient(form, gamma):
    """The slope of x^γ at 0 is infinite for γ < 1."""
    assert gradient_of(Focal(form=form, gamma=gamma), [50.0, -50.0], 0) == pytest.approx([0.0, 0.0])


def test_mixed_labels_are_weighted_separately():
    """The share-weighted sum of focal losses; p_t = exp(−BCE) of a soft target would differ."""
    labels = torch.stack([LABELS, LABELS.roll(1)], 1)
    shares = torch.tensor([[0.6, 0.4]], dtype=torch.float64).expand(12, 2)
    ones = torch.ones(12)
    batch = Batch(torch.zeros(12, 1, 1, 1), labels, shares, labels, ones, ones)
    loss = Focal(form="sigmoid", alpha=None)
    ours = contract(lambda labels: loss.score(LOGITS, labels), batch)
    parts = [sigmoid_focal_loss(LOGITS, t, -1, 2.0).mean(1) for t in (ONE_HOT, ONE_HOT.roll(1, 0))]
    torch.testing.assert_close(ours, 0.6 * parts[0] + 0.4 * parts[1])
    soft = F.binary_cross_entropy_with_logits(
        LOGITS, 0.6 * ONE_HOT + 0.4 * ONE_HOT.roll(1, 0), reduction="none"
    )
    assert not torch.allclose(ours, ((1 - (-soft).exp()) ** 2 * soft).mean(1), rtol=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_masks_are_scored_pixel_by_pixel(form):
    logits = LOGITS.reshape(1, 3, 4, 5).movedim(-1, 1)
    alpha = [1.0, 2.0, 3.0, 0.5, 4.0] if form == "softmax" else 0.25
    loss = Focal(form=form, alpha=alpha)
    expected = loss.score(LOGITS, LABELS)
    torch.testing.assert_close(loss.score(logits, LABELS.view(1, 3, 4)).flatten(), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_extreme_logits_are_finite(form, gamma):
    logits = (LOGITS.float().sign() * 1e4).requires_grad_()
    losses = Focal(form=form, gamma=gamma).score(logits, LABELS)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert logits.grad.isfinite().all()


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.gamma must be in \[0, inf\), got -1"):
        Focal(gamma=-1.0)
    with pytest.raises(ValueError, match=r"loss\.alpha must be in \[0, 1\], got 2"):
        Focal(form="sigmoid", alpha=2.0)
    with pytest.raises(
        ValueError, match=r"must be a list, one for each class, with loss\.form=soft"
    ):
        Focal(alpha=0.25)
    with pytest.raises(ValueError, match=r"must be one number with loss\.form=sigmoid"):
        Focal(form="sigmoid", alpha=[0.25, 0.5])
    with pytest.raises(ValueError, match=r"loss\.alpha has 2 values for 5 classes"):
        Focal(alpha=[1.0, 2.0]).prepare(torch.ones(5))
