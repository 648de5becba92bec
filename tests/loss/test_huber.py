import pytest
import torch
import torch.nn.functional as F

from trainer.loss.huber import Huber
from trainer.loss.mse import MeanSquaredError
from trainer.loss.smooth_l1 import SmoothL1

OUTPUTS, TARGETS = 3 * torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    """δ = 2: ½·1² and 2·(3 − 1)."""
    loss = Huber(delta=2.0).score(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert loss.tolist() == [(0.5 + 4) / 2]


@pytest.mark.parametrize("delta", [0.1, 1.0, 3.0])
def test_equals_torch(delta):
    losses = Huber(delta=delta).score(OUTPUTS, TARGETS)
    expected = F.huber_loss(OUTPUTS, TARGETS, reduction="none", delta=delta)
    torch.testing.assert_close(losses, expected.mean(1))


def test_relation_to_mse_and_smooth_l1():
    """Half of mse within δ; δ times `smooth_l1` with β = δ, so both are equal only at δ = 1."""
    losses = Huber(delta=100.0).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, MeanSquaredError().score(OUTPUTS, TARGETS) / 2)
    losses = Huber(delta=3.0).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, 3 * SmoothL1(beta=3.0).score(OUTPUTS, TARGETS))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.delta must be in \(0, inf\), got 0"):
        Huber(delta=0.0)
