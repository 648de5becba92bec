import pytest
import torch
import torch.nn.functional as F

from trainer.loss.l1 import L1
from trainer.loss.smooth_l1 import SmoothL1

OUTPUTS, TARGETS = 3 * torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    """β = 2: ½·1²/2 and 3 − 1."""
    loss = SmoothL1(beta=2.0).score(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert loss.tolist() == [(0.25 + 2) / 2]


@pytest.mark.parametrize("beta", [0.1, 1.0, 3.0])
def test_equals_torch(beta):
    losses = SmoothL1(beta=beta).score(OUTPUTS, TARGETS)
    expected = F.smooth_l1_loss(OUTPUTS, TARGETS, reduction="none", beta=beta)
    torch.testing.assert_close(losses, expected.mean(1))


def test_without_beta_it_is_l1():
    losses = SmoothL1(beta=0.0).score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, L1().score(OUTPUTS, TARGETS))


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"loss\.beta must be in \[0, inf\), got -1"):
        SmoothL1(beta=-1.0)
