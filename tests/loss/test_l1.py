import pytest
import torch
import torch.nn.functional as F

from trainer.loss.l1 import L1

OUTPUTS, TARGETS = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    """(1 + 3) / 2."""
    loss = L1().score(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert loss.tolist() == [2.0]


def test_equals_torch():
    losses = L1().score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, F.l1_loss(OUTPUTS, TARGETS, reduction="none").mean(1))
    assert losses.mean().item() == pytest.approx(F.l1_loss(OUTPUTS, TARGETS).item())
