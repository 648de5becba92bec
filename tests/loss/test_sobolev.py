import math

import numpy as np
import pytest
import torch

from trainer.loss.mse import MeanSquaredError
from trainer.loss.sobolev import Sobolev

RNG = torch.Generator().manual_seed(0)
OUTPUTS, TARGETS = torch.randn(2, 3, 2, 5, 6, generator=RNG, dtype=torch.float64)


def wave(size: int, y: int, x: int) -> torch.Tensor:
    """A cosine with y and x periods across an image [1, 1, size, size]."""
    turns = 2 * math.pi * torch.arange(size, dtype=torch.float64) / size
    return (y * turns[:, None] + x * turns).cos()[None, None]


def of(error: torch.Tensor, **settings) -> float:
    """The loss of an error [B, C, H, W] of one example."""
    return Sobolev(**settings).score(error, torch.zeros_like(error)).item()


def test_differences_by_hand():
    """Errors 1, 2 / 3, 5: squares 39; steps down 2, 3 and right 1, 2, whose squares are 18."""
    error = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])
    assert of(error, lam=0.5) == pytest.approx((39 + 0.5 * 18) / 4)


def test_fourier_by_hand():
    """Two pixels 3 and 1: û = 4/√2 at ξ = 0 and 2/√2 at ξ = π: (8 + (1 + π²)·2) / 2."""
    error = torch.tensor([[[[3.0, 1.0]]]])
    assert of(error, form="fourier") == pytest.approx((8 + (1 + math.pi**2) * 2) / 2)
    squared = (8 + (1 + math.pi**2) ** 2 * 2) / 2
    assert of(error, form="fourier", order=2.0) == pytest.approx(squared)


@pytest.mark.parametrize("settings", [{"lam": 0.0}, {"form": "fourier", "order": 0.0}], ids=str)
def test_without_slopes_equals_mse(settings):
    """By Parseval; a transform that is not orthonormal would be H·W times too large."""
    losses = Sobolev(**settings).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, MeanSquaredError().score(OUTPUTS, TARGETS))


def test_differences_against_a_slow_loop():
    error = (OUTPUTS - TARGETS).numpy()
    expected = []
    for image in error:
        total = (image**2).sum()
        for channel in image:
            for y in range(5):
                for x in range(6):
                    total += 2.5 * (channel[y + 1, x] - channel[y, x]) ** 2 if y < 4 else 0
                    total += 2.5 * (channel[y, x + 1] - channel[y, x]) ** 2 if x < 5 else 0
        expected.append(total / image.size)
    losses = Sobolev(lam=2.5).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, torch.tensor(np.array(expected)))


@pytest.mark.parametrize("order", [-1.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("lam", [1.0, 0.3])
def test_fourier_against_sums_over_waves(order, lam):
    """û by its definition, at the frequencies k/n up to ½ and k/n − 1 above."""
    error = (OUTPUTS - TARGETS).numpy()
    basis = [np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in (5, 6)]
    expected = np.zeros(3)
    for k in range(5):
        for m in range(6):
            transform = np.einsum("bcyx,y,x->bc", error, basis[0][k], basis[1][m]) / np.sqrt(30)
            xi = [2 * np.pi * (i / n if 2 * i < n else i / n - 1) for i, n in ((k, 5), (m, 6))]
            weight = (1 + lam * (xi[0] ** 2 + xi[1] ** 2)) ** order
            expected += weight * (np.abs(transform) ** 2).sum(1) / 60
    losses = Sobolev(form="fourier", lam=lam, order=order).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, torch.tensor(expected))


@pytest.mark.parametrize(("y", "x"), [(0, 1), (2, 0), (3, 2)])
def test_the_forms_agree_at_low_frequencies(y, x):
    """|e^iξ − 1|² ≈ |ξ|² for small ξ; the tolerance covers the border, one row in 64."""
    error = wave(64, y, x)
    square = (2 * math.pi / 64) ** 2 * (y**2 + x**2)
    assert of(error, form="fourier", lam=50.0) == pytest.approx(0.5 * (1 + 50 * square))
    assert of(error, lam=50.0) == pytest.approx(0.5 * (1 + 50 * square), rel=0.03)


@pytest.mark.parametrize("settings", [{}, {"form": "fourier"}, {"form": "fourier", "order": 2.0}])
def test_high_frequency_errors_cost_more_or_less_with_a_negative_order(settings):
    slow, fast = wave(16, 0, 1), wave(16, 0, 6)
    assert of(fast, **settings) > 1.5 * of(slow, **settings)
    assert of(fast, form="fourier", order=-1.0) < 0.5 * of(slow, form="fourier", order=-1.0)


def test_gradient_of_the_transform():
    outputs = OUTPUTS[..., :3, :4].clone().requires_grad_()
    loss = Sobolev(form="fourier", order=1.5)
    assert torch.autograd.gradcheck(lambda u: loss.score(u, TARGETS[..., :3, :4]), outputs)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.lam must be in \[0, inf\), got -1"):
        Sobolev(lam=-1.0)
    with pytest.raises(ValueError, match=r"loss\.order must be 1 with loss\.form=difference"):
        Sobolev(order=2.0)
