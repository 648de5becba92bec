"""Eval mode is temporary: each module's own mode is restored."""

import pytest
import torch
from torch import nn

from trainer.core.forward import evaluating


def modes(model: nn.Module) -> list[bool]:
    """Return whether the model and each of its modules are in train mode."""
    return [module.training for module in model.modules()]


@pytest.fixture
def model() -> nn.Sequential:
    """A model in train mode whose BatchNorm is frozen."""
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout())
    layers[1].eval()
    return layers


def test_evaluating_restores_the_mode_of_each_module(model):
    with evaluating(model):
        assert modes(model) == [False, False, False, False]
    assert modes(model) == [True, True, False, True]


def test_evaluating_restores_the_modes_after_an_error(model):
    with pytest.raises(RuntimeError, match="shapes"), evaluating(model):
        model(torch.zeros(1, 3))
    assert modes(model) == [True, True, False, True]


def test_evaluating_keeps_gradients(model):
    with evaluating(model):
        model(torch.ones(1, 2)).sum().backward()
    assert model[0].bias.grad.any()
