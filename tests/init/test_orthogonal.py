"""Orthogonal rows, or columns."""

import pytest
import torch
from torch import nn

from trainer.init.orthogonal import Orthogonal


@pytest.mark.parametrize(
    "layer", [nn.Linear(20, 30), nn.Linear(30, 20), nn.Conv2d(4, 20, 3), nn.Conv2d(2, 30, 3)]
)
def test_the_shorter_side_is_orthogonal(layer: nn.Linear | nn.Conv2d) -> None:
    """W·Wᵀ = gain²·1 for a wide matrix, Wᵀ·W for a tall one."""
    Orthogonal(gain=1.5)(layer)
    weight = layer.weight.detach().flatten(1).double()
    product = weight @ weight.T if weight.shape[0] < weight.shape[1] else weight.T @ weight
    assert torch.allclose(product, 2.25 * torch.eye(len(product)).double(), atol=1e-5)


def test_a_square_matrix_preserves_lengths() -> None:
    layer = nn.Linear(50, 50)
    Orthogonal()(layer)
    inputs = torch.randn(7, 50)
    assert torch.allclose(layer(inputs).norm(dim=1), inputs.norm(dim=1), rtol=1e-4)


def test_equals_torch() -> None:
    layer, reference = nn.Linear(20, 30), torch.empty(30, 20)
    torch.manual_seed(1)
    Orthogonal(gain=2.0)(layer)
    torch.manual_seed(1)
    nn.init.orthogonal_(reference, 2.0)
    assert torch.equal(layer.weight, reference)


def test_bad_gain_is_named() -> None:
    with pytest.raises(ValueError, match=r"init\.gain must be in \(0, inf\)"):
        Orthogonal(gain=0.0)
