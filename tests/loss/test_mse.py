import pytest
import torch
import torch.nn.functional as F

from trainer.loss.mse import MeanSquaredError

OUTPUTS, TARGETS = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    """(1² + 3²) / 2, without a factor ½."""
    loss = MeanSquaredError().score(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 5.0]]))
    assert loss.tolist() == [5.0]


def test_equals_torch():
    losses = MeanSquaredError().score(OUTPUTS, TARGETS)
    torch.testing.assert_close(losses, F.mse_loss(OUTPUTS, TARGETS, reduction="none").mean(1))
    assert losses.mean().item() == pytest.approx(F.mse_loss(OUTPUTS, TARGETS).item())
